"""Hours in which people are written to, in the zones where they may be. Pure.

Where somebody's zone is one of several, it must be open in all of them. Every instant is looked at as people's clocks
show it, so days of 23 or 25 hours need no care.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID
from zoneinfo import ZoneInfo

#: Clocks all over the world agree on the minutes of a quarter of an hour, and people give hours by five minutes.
_GRID = timedelta(minutes=5)
_FARTHEST = timedelta(days=8)
#: What waited for the opening does not all go at once.
_SPREAD = timedelta(hours=2)
_DAYS_OF_SEASONS = (datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 7, 13, tzinfo=UTC))


@dataclass(frozen=True)
class Window:
    """From a minute of the day up to another one, which may be past midnight, on days of the week from 1, Monday."""

    zones: tuple[str, ...]
    opens: int
    closes: int
    days: frozenset[int]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """As `document` says it."""
        return cls(tuple(given["zones"]), given["opens"], given["closes"], frozenset(given["days"]))

    def document(self) -> dict[str, Any]:
        """What is stored beside a send."""
        return {"zones": list(self.zones), "opens": self.opens, "closes": self.closes, "days": sorted(self.days)}

    def is_open(self, at: datetime) -> bool:
        """Whether it is open everywhere."""
        return all(self._is_open(at.astimezone(ZoneInfo(zone))) for zone in self.zones)

    def _is_open(self, local: datetime) -> bool:
        minute = local.hour * 60 + local.minute
        if self.opens < self.closes:
            return self.opens <= minute < self.closes and local.isoweekday() in self.days
        if minute >= self.opens:
            return local.isoweekday() in self.days
        # after midnight it is still the day before's
        return minute < self.closes and (local - timedelta(days=1)).isoweekday() in self.days

    def next_opening(self, at: datetime) -> datetime | None:
        """The first instant from `at` on at which it is open; None where there is none within a week."""
        if self.is_open(at):
            return at
        here = at.replace(second=0, microsecond=0, minute=at.minute - at.minute % 5) + _GRID
        while here <= at + _FARTHEST:
            if self.is_open(here):
                return here
            here += _GRID
        return None

    def turn_of(self, one: UUID, at: datetime) -> datetime | None:
        """When somebody's turn comes: now, or some time after the opening, each at a time of their own."""
        opening = self.next_opening(at)
        if opening is None or opening == at:
            return opening
        later = opening + _SPREAD * (int.from_bytes(one.bytes[-4:], "big") / 2**32)
        return later if self.is_open(later) else opening


def without_common_hours(zones: Sequence[str], opens: int, closes: int) -> bool:
    """Whether hours that are a day's in each of these zones are never the same ones."""
    window = Window(tuple(zones), opens, closes, frozenset(range(1, 8)))
    # offsets change with the seasons: one day of each
    return any(window.next_opening(day) is None for day in _DAYS_OF_SEASONS)
