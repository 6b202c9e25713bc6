"""The API as a process: uvicorn around `create_app`. Several workers share one listening socket."""

import asyncio
import gc
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import uvicorn
import uvloop
from fastapi import FastAPI

from api.edge.logs import log_as_json
from api.main import create_app
from contracts.settings import ApiSettings, DatabaseSettings, WarehouseSettings

_POLL_SECONDS = 0.2
#: Running requests get this long to finish before connections are closed.
_GRACE_SECONDS = 10


def run(stop: threading.Event) -> None:
    """Serve until `stop` is set; running requests are finished first."""
    settings = ApiSettings()
    listener = _listen(settings)
    try:
        if settings.api_workers == 1:
            _run(listener, stop, _DeafServer)
        else:
            _supervise(settings, listener, stop)
    finally:
        listener.close()


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.create_server((settings.api_host, settings.api_port), family=family, backlog=1024)
    listener.set_inheritable(True)
    return listener


class _DeafServer(uvicorn.Server):
    """Leaves signals to `runtime.serve`, which tells `stop`: uvicorn's own handlers would not wait for the drain."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def _serve(listener: socket.socket, stop: threading.Event | Event, server_class: type[uvicorn.Server]) -> None:
    log_as_json()
    settings = ApiSettings()
    app = create_app(settings, DatabaseSettings(), warehouse=WarehouseSettings())
    gc.freeze()  # the collector need not look through the app again while requests wait
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, server_header=False
    )
    server = server_class(config)
    watching = asyncio.create_task(_stop_when_told(server, stop, app, settings.api_drain_seconds))
    await server.serve(sockets=[listener])
    watching.cancel()


async def _stop_when_told(
    server: uvicorn.Server, stop: threading.Event | Event, app: FastAPI, drain_seconds: float
) -> None:
    """Say first that this process is not ready any more, and go on serving until whoever sends requests has heard."""
    while not stop.is_set():  # noqa: ASYNC110 # set by another thread or process, which asyncio's own cannot be
        await asyncio.sleep(_POLL_SECONDS)
    app.state.is_draining = True
    await asyncio.sleep(drain_seconds)
    server.should_exit = True


def _run(
    listener: socket.socket, stop: threading.Event | Event, server_class: type[uvicorn.Server] = uvicorn.Server
) -> None:
    # uvicorn takes its faster event loop by itself only where it also starts it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, stop, server_class))
    gc.unfreeze()


def _supervise(settings: ApiSettings, listener: socket.socket, stop: threading.Event) -> None:
    """Keep the workers alive until told to stop."""
    spawn = multiprocessing.get_context("spawn")
    stop_workers = spawn.Event()

    def start() -> SpawnProcess:
        process = spawn.Process(target=_run, args=(listener, stop_workers))
        process.start()
        return process

    workers = [start() for _ in range(settings.api_workers)]
    while not stop.wait(_POLL_SECONDS):
        workers = [worker if worker.is_alive() else start() for worker in workers]
    stop_workers.set()
    for worker in workers:
        worker.join(_GRACE_SECONDS + settings.api_drain_seconds + 5)
        if worker.is_alive():
            worker.kill()
