"""A value over time, as known: pure.

Entries are ordered by when they were true; those of one instant by when they were learned. An entry that says what
holds anyway is none. A later-learned earlier one may make it so: it stays in the log, and `visits` leaves it out.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """The value from `at` on. `line` is the number of the row that says so, where one does."""

    at: datetime
    value: V
    actor_id: UUID | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)


class Step(NamedTuple, Generic[V]):
    """A new entry, and the value before it."""

    before: V
    entry: Entry[V]


@dataclass(frozen=True, slots=True)
class Timeline(Generic[V]):
    """Never empty: it begins with the creation."""

    entries: tuple[Entry[V], ...]

    @classmethod
    def of(cls, learned: Iterable[tuple[datetime, V]]) -> "Timeline[V]":
        """The timeline of values in the order in which they were learned."""
        return cls(tuple(sorted((Entry(at, value) for at, value in learned), key=_at)))

    @property
    def last(self) -> V:
        """The value that holds now."""
        return self.entries[-1].value

    def at(self, instant: datetime) -> V:
        """The value that held at an instant; before the first entry, its value."""
        place = bisect_right(self.entries, instant, key=_at)
        return self.entries[max(place - 1, 0)].value

    def visits(self) -> list[Entry[V]]:
        """The entries at which the value really changed."""
        return [one for n, one in enumerate(self.entries) if n == 0 or one.value != self.entries[n - 1].value]

    def learn(self, told: Iterable[Entry[V]], *, is_retold: bool = False) -> "tuple[Timeline[V], list[Step[V]]]":
        """The timeline with what is new to it, each with the value before it; none of it lies before the first entry.

        Files are told again and again: with `is_retold`, what an entry of the same instant said already is not new.
        """
        entries, steps = list(self.entries), []
        for one in sorted(told, key=_at):
            place = bisect_right(entries, one.at, key=_at)
            before = entries[place - 1].value
            if before == one.value or (is_retold and _is_said(entries, place, one)):
                continue
            entries.insert(place, one)
            steps.append(Step(before, one))
        return (Timeline(tuple(entries)), steps) if steps else (self, [])


def _at(entry: Entry[V]) -> datetime:
    return entry.at


def _is_said(entries: list[Entry[V]], place: int, one: Entry[V]) -> bool:
    while place and entries[place - 1].at == one.at:
        place -= 1
        if entries[place].value == one.value:
            return True
    return False
