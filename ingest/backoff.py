"""How long to wait before the next attempt at something that is down."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubles from `first` to `longest` seconds; `reset()` after a success."""

    first: float = 0.2
    longest: float = 5.0
    _next: float = 0.0

    def next_delay(self) -> float:
        """Seconds to wait now."""
        delay = self._next or self.first
        self._next = min(self.longest, delay * 2)
        return delay

    def reset(self) -> None:
        """Begin anew."""
        self._next = 0.0
