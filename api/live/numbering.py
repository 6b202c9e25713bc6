"""Which numbers of the event log are still to come. Pure.

Positions of the log are drawn before their transactions commit, so what is committed has holes: some are filled a
moment later, those of transactions that were undone never. A hole is given up once every transaction that was under
way when the hole was known has ended; only then is the log before it settled.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Who drew a position has a transaction's number soon after; before that its hole cannot be dated.
_YOUNG_SECONDS = 1.0


@dataclass
class _Hole:
    found_at: float
    #: Transactions from this number on began after the hole was known.
    newest: int | None = None


@dataclass
class Holes:
    """Everything up to `high` was seen, except what is in the holes."""

    high: int
    _holes: dict[int, _Hole] = field(default_factory=dict)

    @property
    def positions(self) -> list[int]:
        """What to look for besides what comes behind `high`."""
        return list(self._holes)

    @property
    def settled(self) -> int:
        """Up to here nothing is to come any more."""
        return min(self._holes, default=self.high + 1) - 1

    def take(self, seen: Iterable[int], *, oldest: int, newest: int, now: float) -> None:
        """Note what a look saw, and which transactions were under way before it: from `oldest`, below `newest`."""
        for position in sorted(seen):
            if position <= self.high:
                self._holes.pop(position, None)
                continue
            for missed in range(self.high + 1, position):
                self._holes[missed] = _Hole(found_at=now)
            self.high = position
        for position, hole in list(self._holes.items()):
            if hole.newest is not None and hole.newest <= oldest:
                del self._holes[position]
            elif hole.newest is None and now - hole.found_at > _YOUNG_SECONDS:
                hole.newest = newest
