"""The API as a process: uvicorn around `create_app`. Several workers share one listening socket."""

import asyncio
import multiprocessing
import socket
import threading
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import uvicorn
import uvloop

from api.logs import log_as_json
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
            _run(listener, stop)
        else:
            _supervise(settings.api_workers, listener, stop)
    finally:
        listener.close()


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.create_server((settings.api_host, settings.api_port), family=family, backlog=1024)
    listener.set_inheritable(True)
    return listener


async def _serve(listener: socket.socket, stop: threading.Event | Event) -> None:
    log_as_json()
    app = create_app(ApiSettings(), DatabaseSettings(), warehouse=WarehouseSettings())
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, server_header=False
    )
    server = uvicorn.Server(config)
    watching = asyncio.create_task(_stop_when_told(server, stop))
    await server.serve(sockets=[listener])
    watching.cancel()


async def _stop_when_told(server: uvicorn.Server, stop: threading.Event | Event) -> None:
    while not stop.is_set():  # noqa: ASYNC110 # set by another thread or process, which asyncio's own cannot be
        await asyncio.sleep(_POLL_SECONDS)
    server.should_exit = True


def _run(listener: socket.socket, stop: threading.Event | Event) -> None:
    # uvicorn takes its faster event loop by itself only where it also starts it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, stop))


def _supervise(count: int, listener: socket.socket, stop: threading.Event) -> None:
    """Keep `count` workers alive until told to stop."""
    spawn = multiprocessing.get_context("spawn")
    stop_workers = spawn.Event()

    def start() -> SpawnProcess:
        process = spawn.Process(target=_run, args=(listener, stop_workers))
        process.start()
        return process

    workers = [start() for _ in range(count)]
    while not stop.wait(_POLL_SECONDS):
        workers = [worker if worker.is_alive() else start() for worker in workers]
    stop_workers.set()
    for worker in workers:
        worker.join(_GRACE_SECONDS + 5)
        if worker.is_alive():
            worker.kill()
