"""Takes away contents that no file refers to any more."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from api.edge.consumer import acting_in
from api.files import content, records
from api.kernel.context import Context
from api.kernel.database import Database
from contracts.events.envelope import ActorKind
from contracts.settings import FileSettings

_log = logging.getLogger(__name__)
_EVERY_SECONDS, _RETRY_SECONDS = 3600.0, 10.0
_AT_ONCE = 1000


async def run(database: Database, stop: threading.Event) -> None:
    """Look every hour, until `stop` is set."""
    files_path = FileSettings().files_path
    bell = database.hints.bell("files")  # nobody rings: only time does
    while not stop.is_set():
        wait_seconds = _EVERY_SECONDS
        try:
            await sweep(database, files_path)
        except (psycopg.Error, OSError) as error:
            _log.warning("files wait to be swept: %s", error)
            wait_seconds = _RETRY_SECONDS
        until = time.monotonic() + wait_seconds
        while time.monotonic() < until and not stop.is_set():
            await bell.wait(until - time.monotonic(), stop)


async def sweep(database: Database, files_path: Path) -> int:
    """Remove old contents without a row; says how many."""
    before = time.time() - content.GRACE_SECONDS
    removed = 0
    for organization_id in await asyncio.to_thread(content.organizations, files_path):
        found = await asyncio.to_thread(content.old, files_path, organization_id, before=before)
        for start in range(0, len(found), _AT_ONCE):
            removed += await remove_unheld(database, organization_id, found[start : start + _AT_ONCE], before=before)
    return removed


async def remove_unheld(database: Database, organization_id: UUID, paths: Iterable[Path], *, before: float) -> int:
    """Remove contents without a row that nobody has written since an instant; says how many."""
    named, removed = {path.name: path for path in paths}, 0
    for name in await _unheld(database, organization_id, list(named)):
        if content.is_old(named[name], before=before):  # nobody attached the same meanwhile
            named[name].unlink(missing_ok=True)
            removed += 1
    return removed


async def _unheld(database: Database, organization_id: UUID, names: list[str]) -> list[str]:
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    async with acting_in(database, context) as unit:
        return await records.unheld(unit, names)
