"""The API on a migrated database: `api` for a test of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conftest import Database
from tests.factories import Account, Api, start_api


@pytest_asyncio.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """The application on an empty database."""
    started = await start_api(database)
    yield started
    await started.close()


@pytest_asyncio.fixture
async def owner(api: Api) -> Account:
    """The owner of a new organization."""
    return await api.sign_up()
