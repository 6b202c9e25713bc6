"""Claims imports of all organizations, one at a time, and does them.

A claim is a row update under FOR UPDATE SKIP LOCKED plus an advisory lock held by the worker's own connection: when the
worker dies, PostgreSQL releases the lock at once, and another worker takes the job up where it stopped.
"""

import asyncio
import logging
import threading
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from api.imports.job import Claim, ClaimLostError, run_job
from api.kernel.database import Database
from contracts import locks

_log = logging.getLogger(__name__)

#: A job that kills its worker this often is not tried again.
_MOST_ATTEMPTS = 5
_POLL_SECONDS = 0.3
_RETRY_SECONDS = 2.0

_CANDIDATES = text("""
select organization_id, id, attempts from imports
where state in ('queued', 'running') order by created_at, id limit 20 for update skip locked
""")
_TRY_LOCK = text(f"select pg_try_advisory_lock(hashtextextended(:id, {locks.IMPORT_JOB_SEED}))")
_UNLOCK = text(f"select pg_advisory_unlock(hashtextextended(:id, {locks.IMPORT_JOB_SEED}))")
_TAKE = text("""
update imports set state = 'running', claim = :claim, attempts = attempts + 1
where organization_id = :organization_id and id = :id
""")
_FAIL = text("""
update imports set state = 'failed', claim = null, error = :error, completed_at = clock_timestamp()
where organization_id = :organization_id and id = :id and state in ('queued', 'running')
""")


async def work(database: Database, *, files_path: Path, stop: threading.Event) -> None:
    """Claim and do imports until `stop` is set. Outlives a PostgreSQL that goes away for a while."""
    while not stop.is_set():
        try:
            async with database.engine.connect() as connection:
                await _work_on(connection, database, files_path=files_path, stop=stop)
        except (DBAPIError, OSError):
            _log.exception("the database does not answer; trying again")
            await asyncio.sleep(_RETRY_SECONDS)


async def _work_on(connection: AsyncConnection, database: Database, *, files_path: Path, stop: threading.Event) -> None:
    while not stop.is_set():
        claim = await _claim(connection)
        if claim is None:
            await asyncio.sleep(_POLL_SECONDS)
            continue
        try:
            await run_job(database, claim, files_path=files_path, stop=stop)
        except ClaimLostError:
            _log.warning("import %s was taken over by another worker", claim.import_id)
        except (OperationalError, InterfaceError, IntegrityError, OSError):
            # not the import's fault, most likely: it stays claimed and is tried again
            _log.exception("import %s was interrupted", claim.import_id)
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception:  # noqa: BLE001  # the edge of a job
            # whatever it is, the person who waits for the import must hear of it
            _log.exception("import %s failed", claim.import_id)
            await _mark_failed(
                connection, claim.organization_id, claim.import_id, reason="An internal error; see the log."
            )
        finally:
            await connection.rollback()
            await connection.execute(_UNLOCK, {"id": str(claim.import_id)})
            await connection.commit()


async def _claim(connection: AsyncConnection) -> Claim | None:
    """The oldest job that nobody works on."""
    candidates = (await connection.execute(_CANDIDATES)).all()
    for candidate in candidates:
        if not (await connection.execute(_TRY_LOCK, {"id": str(candidate.id)})).scalar_one():
            continue
        if candidate.attempts >= _MOST_ATTEMPTS:
            reason = f"The import stopped {candidate.attempts} times before its end; see the worker's log."
            await _mark_failed(connection, candidate.organization_id, candidate.id, reason=reason)
            await connection.execute(_UNLOCK, {"id": str(candidate.id)})
            continue
        token = uuid7()
        where = {"organization_id": candidate.organization_id, "id": candidate.id, "claim": token}
        await connection.execute(_TAKE, where)
        await connection.commit()
        return Claim(organization_id=candidate.organization_id, import_id=candidate.id, token=token)
    await connection.commit()
    return None


async def _mark_failed(connection: AsyncConnection, organization_id: UUID, import_id: UUID, *, reason: str) -> None:
    await connection.execute(_FAIL, {"organization_id": organization_id, "id": import_id, "error": reason})
    await connection.commit()
