"""One worker of the API: uvicorn around `create_app`. Workers share a listening socket, and connections evenly.

The kernel would give new connections to whoever comes first, which is often one worker for all of them. So each notes
how many it has where the others see it, and who has more than another one lets that one go first.
"""

import asyncio
import gc
import mmap
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.edge.logs import log_as_json
from api.kernel.errors import InvalidRequest
from api.kernel.hints import told
from api.main import create_app
from contracts.settings import ApiSettings, DatabaseSettings, WarehouseSettings

#: A client sends the head of a request within so many seconds.
_HEAD_SECONDS = 15
#: Running requests get this long to finish before connections are closed.
_GRACE_SECONDS = 10
#: Connections that another worker should take are anybody's when it has taken none for so long.
_YIELD_SECONDS, _LOOK_AGAIN_SECONDS = 0.25, 0.01
_NOT_SERVING = 2**31 - 1


def run(stop: threading.Event, *numbers: str) -> None:
    """Serve until `stop` is set; running requests are finished first.

    `numbers` are the file descriptors of the shared socket and of a file of one 32-bit number of connections for each
    worker, and this worker's place in that file.
    """
    listener, counts, number = map(int, numbers)
    with socket.socket(fileno=listener) as shared, mmap.mmap(counts, 0) as memory:
        listening = _Listening(shared, memoryview(memory).cast("i"), number)
        # uvicorn takes its faster event loop by itself only where it also starts it
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(listening, stop))
        listening.counts.release()
    gc.unfreeze()


class _Listening:
    """This worker's share of the connections."""

    def __init__(self, listener: socket.socket, counts: "memoryview[int]", number: int) -> None:
        listener.setblocking(False)
        self.counts = counts
        self._listener, self._number = listener, number
        counts[number] = _NOT_SERVING

    def open(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections from now on."""
        self._loop, self._make_protocol = asyncio.get_running_loop(), make_protocol
        self._connecting = set[asyncio.Task[Any]]()
        self.counts[self._number] = 0
        self._loop.add_reader(self._listener, self._look)

    def close(self) -> None:
        """Accept no more."""
        self.counts[self._number] = _NOT_SERVING
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _look(self) -> None:
        while self._is_my_turn():
            if not self._accept():
                return
        self._loop.remove_reader(self._listener)
        self._yield_until(self._loop.time() + _YIELD_SECONDS, min(self.counts))

    def _is_my_turn(self) -> bool:
        return self.counts[self._number] <= min(self.counts) + 1

    def _yield_until(self, deadline: float, fewest: int) -> None:
        """Leave the connections that wait to a worker that has fewer, as long as it comes and takes them."""
        if self._listener.fileno() < 0:
            return
        if min(self.counts) != fewest:
            deadline, fewest = self._loop.time() + _YIELD_SECONDS, min(self.counts)
        if self._loop.time() > deadline:
            while self._accept():  # it is dead, or busy for long
                pass
        if self._is_my_turn() or not select.select([self._listener], [], [], 0)[0]:
            self._loop.add_reader(self._listener, self._look)
        else:
            self._loop.call_later(_LOOK_AGAIN_SECONDS, self._yield_until, deadline, fewest)

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # another worker was faster, or the client has gone
            return False
        self.counts[self._number] += 1
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:
            self.left()

    def upgraded(self) -> None:
        """Count a connection that went over to another protocol on: over, it was only as one of HTTP."""
        if self._listener.fileno() >= 0:
            self.counts[self._number] += 1

    def left(self) -> None:
        """Count a connection as over."""
        if self._listener.fileno() >= 0:
            self.counts[self._number] -= 1


class _Connections(set[Any]):
    """uvicorn's own record of its connections, from which we hear when one is over."""

    def __init__(self, listening: _Listening) -> None:
        super().__init__()
        self._listening = listening

    def add(self, protocol: object) -> None:
        if not isinstance(protocol, HttpToolsProtocol):
            self._listening.upgraded()
        super().add(protocol)

    def discard(self, protocol: object) -> None:
        if protocol in self:
            super().discard(protocol)
            self._listening.left()

    remove = discard


class _Server(uvicorn.Server):
    """Leaves signals to `runtime.serve`, which tells `stop`, and accepts as `_Listening` says."""

    def __init__(self, config: uvicorn.Config, listening: _Listening) -> None:
        super().__init__(config)
        self._listening = listening
        self.server_state.connections = _Connections(listening)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured: uvicorn's own handlers would not wait for the drain."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Get ready, then accept."""
        await super().startup(sockets=sockets)
        self._listening.open(
            lambda: self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, then finish."""
        self._listening.close()
        await super().shutdown(sockets=sockets)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which waits for a request's head only so long."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come: its first request is due."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """The first byte of a request has come: its head is due."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is there; the body has times of its own."""
        self._forget_deadline()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or has a longer address than any, is told so as anything else that is wrong."""
        body = JSONResponse(InvalidRequest(msg).problem()).body
        head = (
            "HTTP/1.1 400 Bad Request",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + bytes(body))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._forget_deadline()
        self._deadline = asyncio.get_running_loop().call_later(_HEAD_SECONDS, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


#: How connections are spoken on. By WebSockets clients only ever send tokens; compressing would need memory for each of
#: thousands.
SOCKETS: dict[str, Any] = {
    "http": _Protocol,
    "ws": "websockets-sansio",
    "ws_max_size": 16 * 1024,
    "ws_per_message_deflate": False,
}


async def _serve(listening: _Listening, stop: threading.Event) -> None:
    log_as_json()
    settings = ApiSettings()
    app = create_app(settings, DatabaseSettings(), warehouse=WarehouseSettings())
    gc.freeze()  # the collector need not look through the app again while requests wait
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
        **SOCKETS,
    )
    server = _Server(config, listening)
    watching = asyncio.create_task(_stop_when_told(server, stop, app, settings.api_drain_seconds))
    await server.serve(sockets=[])
    watching.cancel()


async def _stop_when_told(server: uvicorn.Server, stop: threading.Event, app: FastAPI, drain_seconds: float) -> None:
    """Say first that this process is not ready any more, and go on serving until whoever sends requests has heard."""
    await told(stop)
    app.state.is_draining = True
    await asyncio.sleep(drain_seconds)
    server.should_exit = True
