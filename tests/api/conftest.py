"""The API, on one database per module: each test has organizations of its own in it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

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
