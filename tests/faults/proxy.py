"""A TCP proxy that spoils connections: what is put in front of PostgreSQL or the broker to see who copes with it.

It runs in a thread of its own; tests add and remove toxics while connections are open:

    with TcpProxy(upstream_port) as proxy, proxy.under(Latency(0.2), Direction.DOWN):
        ...connect to proxy.port...
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import reduce
from typing import Any, Self, TypeVar

from tests.faults.toxics import CutError, Down, Send, Toxic

_CHUNK = 65_536
_QUEUED_CHUNKS = 256
_LINGER_ZERO = struct.pack("ii", 1, 0)

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Direction(Enum):
    """Up is from the client to the server."""

    UP = "up"
    DOWN = "down"


class _Pair:
    """A client's connection and the one to the server that serves it."""

    def __init__(self, proxy: "TcpProxy", streams: dict[Direction, Streams]) -> None:
        self._proxy, self._streams = proxy, streams
        self._carriers: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Carry bytes both ways until both sides have closed."""
        self._carriers = [asyncio.create_task(self._carry(direction)) for direction in Direction]
        try:
            for direction in Direction:
                for toxic in self._proxy.toxics[direction]:
                    toxic.attach(self)
            await asyncio.wait(self._carriers)
        finally:
            self.close()

    def close(self) -> None:
        """End both connections."""
        for _, writer in self._streams.values():
            writer.close()
        self._stop()

    def reset(self) -> None:
        """End both connections with RST."""
        for _, writer in self._streams.values():
            with suppress(OSError):  # it has ended by itself meanwhile
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            writer.transport.abort()
        self._stop()

    def _stop(self) -> None:
        for carrier in self._carriers:
            carrier.cancel()

    async def _carry(self, direction: Direction) -> None:
        reader, writer = self._streams[direction]
        queue: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue(_QUEUED_CHUNKS)
        reading = asyncio.create_task(_read(reader, queue))

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            while True:
                data, arrived_at = await queue.get()
                if not data:
                    break
                await _through(self._proxy.toxics[direction], data, arrived_at, send)
            for toxic in self._proxy.toxics[direction]:
                await toxic.before_close()
            if writer.can_write_eof():
                writer.write_eof()
        except (CutError, OSError):
            self.close()
        finally:
            reading.cancel()


async def _read(reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[bytes, float]]) -> None:
    data = b"-"
    while data:
        try:
            data = await reader.read(_CHUNK)
        except OSError:
            data = b""
        await queue.put((data, asyncio.get_running_loop().time()))


async def _through(toxics: list[Toxic], data: bytes, arrived_at: float, send: Send) -> None:
    def before(following: Send, toxic: Toxic) -> Send:
        async def pass_on(chunk: bytes) -> None:
            await toxic.pass_on(chunk, arrived_at, following)

        return pass_on

    await reduce(before, reversed(toxics), send)(data)


class TcpProxy:
    """A listener on a loopback port that stands before another one."""

    def __init__(self, upstream_port: int, *, port: int = 0) -> None:
        self.upstream_port, self.port = upstream_port, port
        self.toxics: dict[Direction, list[Toxic]] = {direction: [] for direction in Direction}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    def add(self, toxic: Toxic, *directions: Direction) -> None:
        """Spoil open and new connections from now on; in both directions unless told which."""

        async def put() -> None:
            for direction in directions or tuple(Direction):
                self.toxics[direction].append(toxic)
            if isinstance(toxic, Down):
                await self._stop_listening()
            for pair in list(self._pairs):
                toxic.attach(pair)

        self._call(put)

    def remove(self, toxic: Toxic) -> None:
        """Heal what `add` spoilt."""

        async def take() -> None:
            for toxics in self.toxics.values():
                if toxic in toxics:
                    toxics.remove(toxic)
            toxic.is_removed.set()
            if isinstance(toxic, Down):
                await self._listen()

        self._call(take)

    @contextmanager
    def under(self, toxic: Toxic, *directions: Direction) -> Iterator[Toxic]:
        """A toxic for as long as the block lasts."""
        self.add(toxic, *directions)
        try:
            yield toxic
        finally:
            self.remove(toxic)

    def cut(self) -> None:
        """Reset all open connections, once."""

        async def reset() -> None:
            for pair in list(self._pairs):
                pair.reset()

        self._call(reset)

    def _call(self, act: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        pair = _Pair(self, {Direction.UP: (reader, upstream[1]), Direction.DOWN: (upstream[0], writer)})
        task = asyncio.current_task()
        if task is not None:
            self._pairs[pair] = task
        try:
            await pair.run()
        finally:
            del self._pairs[pair]

    async def _shut(self) -> None:
        await self._stop_listening()
        tasks = list(self._pairs.values())
        for pair in list(self._pairs):
            pair.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
