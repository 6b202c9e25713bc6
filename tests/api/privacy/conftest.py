"""An organization that also imports files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.conftest import Database
from tests.factories import start_api
from tests.imports.conftest import Importer


@pytest_asyncio.fixture
async def importer(api_database: Database, tmp_path: Path) -> AsyncIterator[Importer]:
    api = await start_api(api_database, files_path=tmp_path / "files")
    yield Importer(await api.sign_up(), api_database, tmp_path / "files")
    await api.close()
