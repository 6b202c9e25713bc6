"""The API and the worker as processes of their own, on a test's database."""

import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests.conftest import Database
from tests.factories import SECRET_KEY


def process_environment(database: Database, folder: Path, *, port: int) -> dict[str, str]:
    """Settings of both."""
    return {
        "SLUICE_DATABASE_URL": database.app_url,
        "SLUICE_DATABASE_WORKER_URL": database.worker_url,
        "SLUICE_WAREHOUSE_URL": f"duckdb://{folder / 'warehouse'}",
        "SLUICE_SECRET_KEY": SECRET_KEY,
        "SLUICE_API_PORT": str(port),
        "SLUICE_FILES_PATH": str(folder / "files"),
    }


def start_api_process(database: Database, folder: Path) -> tuple[ManagedProcess, str]:
    """A serving API; answers its URL too."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz").is_success
        except httpx.TransportError:
            return False

    return _start("api", process_environment(database, folder, port=port), folder, ready=ready), url


def start_worker_process(database: Database, folder: Path) -> ManagedProcess:
    """A worker, at work as soon as it can be."""
    return _start("worker", process_environment(database, folder, port=free_port()), folder, ready=lambda: True)


def _start(name: str, environment: dict[str, str], folder: Path, *, ready: Callable[[], bool]) -> ManagedProcess:
    argv = [sys.executable, "-m", "runtime.serve", name]
    spec = ProcessSpec(name, argv, env=environment, cwd=Path(__file__).parents[2], ready=ready)
    process = ManagedProcess(spec, log_path=folder / f"{name}.log")
    process.start()
    process.wait_ready()
    return process
