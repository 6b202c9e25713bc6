"""Computes records anew where a definition changed: some at a time, so that nobody waits long for one of them."""

import asyncio
import logging
import threading
from uuid import UUID

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.edge.consumer import acting_in
from api.kernel.computing import WORK, compute_some
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.unit_of_work import UnitOfWork
from contracts.events.envelope import ActorKind

_log = logging.getLogger(__name__)
_SOME = 1_000
_POLL_SECONDS, _AGAIN_SECONDS, _RETRY_SECONDS = 5.0, 0.2, 2.0

#: As the worker: what is to be done.
_TO_DO = compiled(text("select organization_id, id from custom_fields where computing_since is not null limit 20"))
#: What was written by whoever may not know of the change yet is there once they have ended. A number that is yet to
#: come is of another cluster, from which this one was restored.
_LOCKED = compiled(
    text("""
select record_kind, computing_after, computing_total,
    cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint) > computing_since
        or cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint) <= computing_since as is_due
from custom_fields where organization_id = :organization_id and id = :field_id and computing_since is not null
for no key update skip locked
""")
)
_COUNTED = {
    noun: compiled(text(f"select count(*) as records from {table} where organization_id = :organization_id"))
    for noun, table in {"deal": "deals", "contact": "contacts", "company": "companies"}.items()
}
_GO_ON = compiled(
    text("""
update custom_fields set computing_after = :after, computing_done = computing_done + :done, computing_total = :total
where organization_id = :organization_id and id = :field_id
""")
)
_FINISH = compiled(
    text("""
update custom_fields set computing_since = null, computing_after = null
where organization_id = :organization_id and id = :field_id
""")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    bell = database.hints.bell(WORK)
    while not stop.is_set():
        try:
            rest = await work_once(database)
        except psycopg.Error as error:
            _log.warning("computing records anew waits: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        await bell.wait(rest, stop)


async def work_once(database: Database) -> float:
    """A step of each field that has records to be computed; for how many seconds there is nothing more to do."""
    async with database.unit(None) as unit:
        fields = await unit.fetch(_TO_DO)
    made = False
    for field in fields:
        context = Context(organization_id=field.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with acting_in(database, context) as unit:
            made |= await _step(unit, field.id)
    return 0.0 if made else _AGAIN_SECONDS if fields else _POLL_SECONDS


async def _step(unit: UnitOfWork, field_id: UUID) -> bool:
    rows = await unit.fetch(_LOCKED, field_id=field_id)
    if not rows or not rows[0].is_due:
        return False
    [field] = rows
    total = field.computing_total
    if total is None:
        [counted] = await unit.fetch(_COUNTED[field.record_kind])
        total = counted.records
    done = await compute_some(unit, field.record_kind, after=field.computing_after, most=_SOME)
    if done:
        unit.execute(_GO_ON, field_id=field_id, after=done[-1], done=len(done), total=total)
    if len(done) < _SOME:
        unit.execute(_FINISH, field_id=field_id)
    return True
