"""An organization that imports files: over HTTP into the queue, and a worker that empties it."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest_asyncio
from psycopg.rows import dict_row

from api.imports.worker import work
from api.kernel.database import Database as Pool
from tests.conftest import Database
from tests.factories import Account, start_api

DEADLINE_SECONDS = 180


@dataclass
class Importer:
    """An owner with files to import."""

    account: Account
    database: Database
    files_path: Path

    async def upload(self, files: Mapping[str, str | bytes], **options: Any) -> dict[str, Any]:
        """Send files by entity, and insist that the import is queued."""
        answer = await self.send(files, **options)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def send(self, files: Mapping[str, str | bytes], **options: Any) -> Any:
        """Send files by entity; answers whatever comes."""
        parts = {
            entity: (f"{entity}.csv", body.encode() if isinstance(body, str) else body)
            for entity, body in files.items()
        }
        return await self.account.post("/v1/imports", files=parts, data={"options": json.dumps(options)})

    async def run(self, files: Mapping[str, str | bytes], **options: Any) -> dict[str, Any]:
        """Import files to the end."""
        queued = await self.upload(files, **options)
        return await self.finish(queued["id"])

    async def finish(self, import_id: str) -> dict[str, Any]:
        """Let a worker do what is queued, until this import is done."""
        stop = threading.Event()
        pool = Pool(self.database.worker_url, pool_size=2, statement_timeout_ms=60_000)
        worker = asyncio.create_task(work(pool, files_path=self.files_path, stop=stop))
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                found = await self.account.read(f"/v1/imports/{import_id}")
                while found["state"] in ("queued", "running"):  # the API is how one learns of it
                    await asyncio.sleep(0.05)
                    found = await self.account.read(f"/v1/imports/{import_id}")
        finally:
            stop.set()
            await worker
            await pool.close()
        assert found["counts"]["done"] == found["counts"]["total"] or found["state"] == "failed", found
        return found

    async def errors(self, import_id: str) -> str:
        """The error file."""
        answer = await self.account.get(f"/v1/imports/{import_id}/errors")
        assert answer.status_code == 200, answer.text
        return answer.content.decode("utf-8-sig")

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What PostgreSQL holds, seen by a superuser."""
        with psycopg.connect(self.database.admin_url, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of the only row."""
        [row] = self.rows(query, *parameters)
        [value] = row.values()
        return value


@pytest_asyncio.fixture
async def importer(database: Database, tmp_path: Path) -> AsyncIterator[Importer]:
    """The owner of a new organization."""
    api = await start_api(database, files_path=tmp_path / "files")
    yield Importer(await api.sign_up(currency="USD"), database, tmp_path / "files")
    await api.close()
