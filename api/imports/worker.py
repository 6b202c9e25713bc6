"""Claims imports of all organizations, one at a time, and does them.

A claim is a row update under FOR UPDATE SKIP LOCKED plus an advisory lock held by the worker's own connection: when the
worker dies, PostgreSQL releases the lock at once, and another worker takes the job up where it stopped.
"""

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.pipeline import Connection, Row
from api.db.statements import Statement, compiled
from api.imports import records
from api.imports.job import Claim, ClaimLostError, run_job
from api.imports.tidying import tidy
from api.kernel.database import Database
from contracts import locks
from contracts.settings import FileSettings

_log = logging.getLogger(__name__)

#: A job that kills its worker this often is not tried again.
_MOST_ATTEMPTS = 5
#: A hint comes before that, most of the time.
_POLL_SECONDS = 3.0
_RETRY_SECONDS = 2.0
#: How often files that nobody needs are looked for.
_TIDY_SECONDS = 3600.0

_BEGIN, _COMMIT = compiled(text("begin")), compiled(text("commit"))
_CANDIDATES = compiled(
    text("""
select organization_id, id, attempts from imports
where state in ('queued', 'running') order by created_at, id limit 20 for update skip locked
""")
)
_SEED = locks.IMPORT_JOB_SEED
_TRY_LOCK = compiled(text(f"select pg_try_advisory_lock(hashtextextended(cast(:id as text), {_SEED})) as is_held"))
_UNLOCK = compiled(text(f"select pg_advisory_unlock(hashtextextended(cast(:id as text), {_SEED}))"))
_TAKE = compiled(
    text("""
update imports set state = 'running', claim = :claim, attempts = attempts + 1
where organization_id = :organization_id and id = :id
""")
)
_FAIL = compiled(
    text("""
update imports set state = 'failed', claim = null, error = :error, completed_at = clock_timestamp()
where organization_id = :organization_id and id = :id and state in ('queued', 'running')
""")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Do imports as this process is configured."""
    settings = FileSettings()
    await work(database, files_path=settings.files_path, stop=stop, keep_days=settings.files_keep_days)


async def work(database: Database, *, files_path: Path, stop: threading.Event, keep_days: int = 7) -> None:
    """Claim and do imports until `stop` is set. Outlives a PostgreSQL that goes away for a while."""
    tidied_at = 0.0
    while not stop.is_set():
        try:
            connection = await database.pool.take()
            try:
                if time.monotonic() - tidied_at > _TIDY_SECONDS:
                    await tidy(connection, files_path, keep_days=keep_days)
                    tidied_at = time.monotonic()
                await _work_on(connection, database, files_path=files_path, stop=stop)
            finally:
                await connection.close()  # and with it every lock
                await database.pool.give_back(connection)
        except (psycopg.Error, OSError):
            _log.exception("the database does not answer; trying again")
            await asyncio.sleep(_RETRY_SECONDS)


async def _work_on(connection: Connection, database: Database, *, files_path: Path, stop: threading.Event) -> None:
    until, bell = time.monotonic() + _TIDY_SECONDS, database.hints.bell(records.WORK)
    while not stop.is_set() and time.monotonic() < until:
        claim = await _claim(connection)
        if claim is None:
            await bell.wait(_POLL_SECONDS, stop)
            continue
        try:
            await run_job(database, claim, files_path=files_path, stop=stop)
        except ClaimLostError:
            _log.warning("import %s was taken over by another worker", claim.import_id)
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.IntegrityError, OSError):
            # not the import's fault, most likely: it stays claimed and is tried again
            _log.exception("import %s was interrupted", claim.import_id)
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception:  # noqa: BLE001  # the edge of a job
            # whatever it is, the person who waits for the import must hear of it
            _log.exception("import %s failed", claim.import_id)
            job = {"organization_id": claim.organization_id, "id": claim.import_id}
            await _run(connection, _FAIL, error="An internal error; see the log.", **job)
        finally:
            await _run(connection, _UNLOCK, id=claim.import_id)


async def _claim(connection: Connection) -> Claim | None:
    """The oldest job that nobody works on."""
    await _run(connection, _BEGIN)
    try:
        return await _first_free(connection)
    finally:
        await _run(connection, _COMMIT)


async def _first_free(connection: Connection) -> Claim | None:
    for candidate in await _run(connection, _CANDIDATES):
        job = {"organization_id": candidate.organization_id, "id": candidate.id}
        [lock] = await _run(connection, _TRY_LOCK, id=candidate.id)
        if not lock.is_held:
            continue
        if candidate.attempts >= _MOST_ATTEMPTS:
            reason = f"The import stopped {candidate.attempts} times before its end; see the worker's log."
            await _run(connection, _FAIL, error=reason, **job)
            await _run(connection, _UNLOCK, id=candidate.id)
            continue
        token = uuid7()
        await _run(connection, _TAKE, claim=token, **job)
        return Claim(organization_id=candidate.organization_id, import_id=candidate.id, token=token)
    return None


async def _run(connection: Connection, statement: Statement, **values: Any) -> list[Row]:  # noqa: ANN401 # as it takes
    [rows] = await connection.send([statement.bind(**values)], implied={})
    return rows
