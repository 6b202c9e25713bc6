"""What can be done to the bytes of a connection: toxiproxy's eight toxics, one class each.

A toxic gets each chunk with the instant of its arrival and decides when, and how, the next one gets it. Seconds and
bytes throughout.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

Send = Callable[[bytes], Awaitable[None]]


class CutError(Exception):
    """The connection ends here."""


class Connection(Protocol):
    """Both directions between a client and the server behind the proxy."""

    def close(self) -> None:
        """End it as a program does that closes its socket."""

    def reset(self) -> None:
        """End it as a host does that knows nothing of it (RST)."""


@dataclass(eq=False)
class Toxic:
    """Does nothing. `attach` is called for each connection that is there, or comes, while the toxic is in place."""

    is_removed: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)

    def attach(self, connection: Connection) -> None:
        """A connection is under this toxic from now on."""

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """Hand a chunk to the next one."""
        del arrived_at
        await send(data)

    async def before_close(self) -> None:
        """The sender has closed; its peer hears of it when this returns."""


@dataclass(eq=False)
class Latency(Toxic):
    """Every byte arrives later: `seconds` give or take `jitter`. Order stays."""

    seconds: float
    jitter: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """Wait for what is left of the delay: chunks that came together leave together."""
        delay = self.seconds + self._random.uniform(-self.jitter, self.jitter)
        await asyncio.sleep(max(0.0, arrived_at + delay - asyncio.get_running_loop().time()))
        await send(data)


@dataclass(eq=False)
class Down(Toxic):
    """Nobody is there: connections end, and new ones are refused (`proxy` does the latter)."""

    def attach(self, connection: Connection) -> None:
        """End it."""
        connection.close()


@dataclass(eq=False)
class Bandwidth(Toxic):
    """A thin line of so many bytes a second."""

    bytes_per_second: int

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """A tenth of a second's worth at a time."""
        del arrived_at
        portion = max(1, self.bytes_per_second // 10)
        for start in range(0, len(data), portion):
            piece = data[start : start + portion]
            await asyncio.sleep(len(piece) / self.bytes_per_second)
            await send(piece)


@dataclass(eq=False)
class SlowClose(Toxic):
    """The other side learns late that the connection was closed."""

    seconds: float

    async def before_close(self) -> None:
        """Wait."""
        await asyncio.sleep(self.seconds)


@dataclass(eq=False)
class Timeout(Toxic):
    """No byte gets through; after `seconds` the connection is closed (0: never, and what was held back arrives when
    the toxic is removed)."""

    seconds: float = 0.0

    def attach(self, connection: Connection) -> None:
        """Start the clock."""
        _close_later(self, self.seconds, connection.close)

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """Hold the chunk back."""
        del arrived_at
        await self.is_removed.wait()
        await send(data)

    async def before_close(self) -> None:
        """Not even the end is heard of."""
        await self.is_removed.wait()


@dataclass(eq=False)
class ResetPeer(Toxic):
    """The connection is reset (RST) after `seconds`."""

    seconds: float = 0.0

    def attach(self, connection: Connection) -> None:
        """Start the clock; at once where there is none."""
        if self.seconds:
            _close_later(self, self.seconds, connection.reset)
        else:
            connection.reset()


@dataclass(eq=False)
class Slicer(Toxic):
    """Chunks arrive in slices of `size` bytes, give or take `variation`, `delay` seconds apart."""

    size: int
    variation: int = 0
    delay: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """Slice by slice."""
        del arrived_at
        start = 0
        while start < len(data):
            size = max(1, self.size + self._random.randint(-self.variation, self.variation))
            await send(data[start : start + size])
            await asyncio.sleep(self.delay)
            start += size


@dataclass(eq=False)
class LimitData(Toxic):
    """The connection ends after so many bytes. One budget for all connections while the toxic is in place."""

    size: int

    def __post_init__(self) -> None:
        self._left = self.size

    async def pass_on(self, data: bytes, arrived_at: float, send: Send) -> None:
        """What is left of the budget, then the end."""
        del arrived_at
        allowed, self._left = data[: self._left], max(0, self._left - len(data))
        if allowed:
            await send(allowed)
        if self._left == 0:
            raise CutError


def _close_later(toxic: Toxic, seconds: float, close: Callable[[], None]) -> None:
    def unless_removed() -> None:
        if not toxic.is_removed.is_set():
            close()

    if seconds:
        asyncio.get_running_loop().call_later(seconds, unless_removed)
