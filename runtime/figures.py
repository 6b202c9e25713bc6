"""When the figures of what was just written can be seen: `sluice up --demo` says *ready* then, and not before."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from contracts.warehouse import Mart, Part, Speed
from orchestration.publish import last_publication

_LOOK_SECONDS = 1.0


@dataclass
class Figures:
    """The published figures, beside the newest event at the time of the first look."""

    event_log_url: str
    warehouse_url: str
    clock: Callable[[], float] = time.monotonic
    _newest: datetime | None = None
    _looked_at: float = field(default=float("-inf"))
    _is_seen: bool = False

    def are_seen(self) -> bool:
        """Whether live marts hold all that had been written when this was asked first, and settled ones are there.

        Looks once a second.
        """
        if self._is_seen or self.clock() - self._looked_at < _LOOK_SECONDS:
            return self._is_seen
        self._looked_at = self.clock()
        try:
            self._newest = self._newest or self._newest_event()
        except psycopg.Error:
            return False
        self._is_seen = self._newest is None or self._reach() >= self._newest
        return self._is_seen

    def _newest_event(self) -> datetime | None:
        with psycopg.connect(self.event_log_url, connect_timeout=5) as connection:
            row = connection.execute("select max(recorded_at) from event_log").fetchone()
        found: datetime | None = row[0] if row else None
        return found

    def _reach(self) -> datetime:
        """Through when all live parts know all events; the beginning of time where a part was never published."""
        nothing = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
        published = last_publication(self.warehouse_url)
        if published is None:
            return nothing
        parts = {Part(mart.group, mart.speed) for mart in Mart}
        through = {part: published.parts.get(str(part), {}).get("through") for part in parts}
        if None in through.values():
            return nothing
        return min(datetime.fromisoformat(end) for part, end in through.items() if end and part.speed is Speed.LIVE)
