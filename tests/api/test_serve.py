"""The API as a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from runtime.process import die_with_parent, free_port
from tests.conftest import Database
from tests.eventually import eventually
from tests.factories import SECRET_KEY


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_f7_serves_and_stops_cleanly_when_told(database: Database, tmp_path: Path, workers: int) -> None:
    port = free_port()
    environment = os.environ | {  # a child process is configured by its environment
        "SLUICE_DATABASE_URL": database.app_url,
        "SLUICE_WAREHOUSE_URL": f"duckdb://{tmp_path}",
        "SLUICE_SECRET_KEY": SECRET_KEY,
        "SLUICE_API_PORT": str(port),
        "SLUICE_API_WORKERS": str(workers),
        "SLUICE_API_DRAIN_SECONDS": "5",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.serve", "api"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            eventually(lambda: _says(client, "/readyz", 200), what="it is ready")
            assert client.get("/v1/me").status_code == 401
            process.send_signal(signal.SIGTERM)
            eventually(lambda: _says(client, "/readyz", 503), what="not ready, before nobody listens any more")
            assert client.get("/healthz").status_code == 200
        _, logged = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, logged
    assert "Traceback" not in logged
    assert '"route": "/v1/me"' in logged


def _says(client: httpx.Client, path: str, status: int) -> bool:
    try:
        return client.get(path).status_code == status
    except httpx.TransportError:
        return False
