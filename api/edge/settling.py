"""Up to which position of the event log nothing is to come any more. Pure; what is looked at is `consumed.HORIZON`."""

from dataclasses import dataclass
from typing import Protocol


class Look(Protocol):
    """One look: the newest position that was drawn, the number of the newest transaction, of the oldest under way."""

    position: int
    newest: int
    oldest: int


@dataclass
class Settling:
    """Takes one look after the other.

    Who draws a position has a transaction's number a moment later: by the next look, then. Once all the transactions
    that were there at that next look are over, nothing comes at the positions of the first one.
    """

    _drawn: int = 0
    _last: Look | None = None

    def take(self, look: Look) -> int:
        """The position up to which nothing is to come any more, as far as this look tells; 0 where it tells nothing."""
        if self._last is not None and self._last.newest > look.oldest:
            return 0  # a transaction of then is still under way
        settled, self._drawn = self._drawn, self._last.position if self._last is not None else 0
        self._last = look
        return settled
