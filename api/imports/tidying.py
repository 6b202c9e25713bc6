"""Taking away what imports leave on the disk: files of imports that ended some days ago, and of none at all."""

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import bindparam, text

from api.db.pipeline import Connection
from api.db.statements import compiled

_log = logging.getLogger(__name__)
_DAY_SECONDS = 24 * 60 * 60
_AT_ONCE = 500

#: Of these imports, those that still need their files.
_NEEDED = compiled(
    text("""
select id from imports
where id = any(cast(:ids as uuid[]))
    and (completed_at is null or completed_at > clock_timestamp() - make_interval(days => cast(:days as int)))
""").bindparams(bindparam("ids"), bindparam("days"))
)


async def tidy(connection: Connection, files_path: Path, *, keep_days: int) -> int:
    """Remove the folders of imports that ended before `keep_days`, or were refused and left theirs; says how many."""
    folders = await asyncio.to_thread(_folders, files_path)
    removed = 0
    for start in range(0, len(folders), _AT_ONCE):
        some = folders[start : start + _AT_ONCE]
        bound = _NEEDED.bind(ids=[UUID(folder.name) for folder in some], days=keep_days)
        [rows] = await connection.send([bound], implied={})
        needed = {str(row.id) for row in rows}
        old = [folder for folder in some if folder.name not in needed]
        await asyncio.to_thread(_remove, old)
        removed += len(old)
    if removed:
        _log.info("removed the files of %s imports", removed)
    return removed


def _folders(files_path: Path) -> Sequence[Path]:
    """Folders of imports that no request is filling just now."""
    yesterday = time.time() - _DAY_SECONDS
    found = (folder for folder in files_path.glob("*/*") if folder.is_dir() and _is_id(folder.name))
    return [folder for folder in found if folder.stat().st_mtime < yesterday]


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
