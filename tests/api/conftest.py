"""The API, on one database per module: each test has organizations of its own in it."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests.conftest import Database
from tests.factories import Account, Api, start_api


@pytest.fixture(scope="module")
def api_database(make_database: Callable[[], Database]) -> Database:
    """The module's database."""
    return make_database()


@pytest_asyncio.fixture
async def api(api_database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    """The application."""
    started = await start_api(api_database, files_path=tmp_path / "files")
    yield started
    await started.close()


@pytest_asyncio.fixture
async def owner(api: Api) -> Account:
    """The owner of a new organization."""
    return await api.sign_up()


@pytest_asyncio.fixture
async def stranger(api: Api) -> Account:
    """The owner of another organization."""
    return await api.sign_up()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of the module's own."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs redis-server or valkey-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = ManagedProcess(ProcessSpec(name="redis", argv=argv, port=port), log_path=Path(folder) / "redis.log")
    process.start()
    process.wait_ready()
    yield f"redis://127.0.0.1:{port}/0"
    process.stop()
