"""The API as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import httpx
import psutil
import pytest

from runtime.process import die_with_parent, free_port
from tests.conftest import Database
from tests.eventually import eventually
from tests.factories import SECRET_KEY


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_f7_serves_and_stops_cleanly_when_told(database: Database, tmp_path: Path, workers: int) -> None:
    process, port = _start(database, tmp_path, workers=workers)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            eventually(lambda: _says(client, "/readyz", 200), what="it is ready")
            assert client.get("/v1/me").status_code == 401
            assert _asked(port, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n") == "invalid_request"
            assert _asked(port, b"\x16\x03\x01 no HTTP\r\n\r\n") == "invalid_request"
            process.send_signal(signal.SIGTERM)
            eventually(lambda: _says(client, "/readyz", 503), what="not ready, before nobody listens any more")
            assert client.get("/healthz").status_code == 200
        _, logged = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, logged
    assert "Traceback" not in logged
    assert '"route": "/v1/me"' in logged


def test_workers_share_connections_evenly_come_back_when_killed_and_end_with_their_supervisor(
    database: Database, tmp_path: Path
) -> None:
    process, port = _start(database, tmp_path, workers=2)
    try:
        workers = _wait_for_workers(process, port)
        for _ in range(3):  # also when earlier connections are gone
            eventually(lambda: not any(_connections(one, port) for one in workers), what="the earlier ones are gone")
            with ExitStack() as stack:
                for _ in range(16):
                    connection = HTTPConnection("127.0.0.1", port, timeout=30)
                    stack.callback(connection.close)
                    connection.request("GET", "/healthz")
                    assert connection.getresponse().read()
                counts = [_connections(worker, port) for worker in workers]
            assert sum(counts) == 16
            assert max(counts) <= 9, counts
        killed, other = workers
        killed.kill()
        replaced = _wait_for_workers(process, port, without=killed)
        assert other in replaced
    finally:
        process.kill()
        process.communicate(timeout=20)
    _, alive = psutil.wait_procs(replaced, timeout=30)
    assert not alive


def _asked(port: int, request: bytes) -> str:
    """The code of the problem that bytes which are no request are answered with."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
        return str(json.loads(answer.read())["code"])


def _start(database: Database, folder: Path, *, workers: int) -> tuple[subprocess.Popen[str], int]:
    port = free_port()
    environment = os.environ | {  # a child process is configured by its environment
        "SLUICE_DATABASE_URL": database.app_url,
        "SLUICE_WAREHOUSE_URL": f"duckdb://{folder}",
        "SLUICE_SECRET_KEY": SECRET_KEY,
        "SLUICE_API_PORT": str(port),
        "SLUICE_API_WORKERS": str(workers),
        "SLUICE_API_DRAIN_SECONDS": "5",
    }
    argv = [sys.executable, "-m", "runtime.serve", "api"]
    process = subprocess.Popen(
        argv,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
    )
    return process, port


def _connections(worker: psutil.Process, port: int) -> int:
    open_ones = [one for one in worker.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    return sum(one.laddr.port == port for one in open_ones)


def _wait_for_workers(
    process: subprocess.Popen[str], port: int, *, without: psutil.Process | None = None
) -> list[psutil.Process]:
    """The two workers, once each has answered somebody."""
    with ExitStack() as stack:

        def two_answer() -> list[psutil.Process]:
            with suppress(OSError):  # nobody listens yet
                connection = HTTPConnection("127.0.0.1", port, timeout=5)
                stack.callback(connection.close)
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            workers = [one for one in psutil.Process(process.pid).children() if one != without]
            return workers if len(workers) == 2 and all(_connections(one, port) for one in workers) else []

        return eventually(two_answer, what="two workers answer")


def _says(client: httpx.Client, path: str, status: int) -> bool:
    with suppress(httpx.TransportError):
        return client.get(path).status_code == status
    return False
