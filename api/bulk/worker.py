"""Does bulk changes, some deals at a time; several workers share one job."""

import asyncio
import logging
import threading

import psycopg
from uuid_utils.compat import uuid7

from api.bulk import records
from api.bulk.work import context_of, step
from api.edge.consumer import acting_in
from api.kernel.context import Context
from api.kernel.database import Database
from contracts.events.envelope import ActorKind

_log = logging.getLogger(__name__)
_POLL_SECONDS, _RETRY_SECONDS = 5.0, 2.0


async def run(database: Database, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    bell = database.hints.bell(records.WORK)
    while not stop.is_set():
        try:
            is_busy = await work_once(database)
        except psycopg.Error as error:
            _log.warning("a bulk change waits: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        if not is_busy:
            await bell.wait(_POLL_SECONDS, stop)


async def work_once(database: Database) -> bool:
    """A step of each job that is to be done; whether there were any."""
    async with database.unit(None) as unit:
        jobs = await unit.fetch(records.TO_DO)
    for row in jobs:
        looking = Context(organization_id=row.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with acting_in(database, looking) as unit:
            job = await records.find_job(unit, row.id)
        async with acting_in(database, context_of(row.organization_id, job)) as unit:
            job = await records.find_job(unit, row.id)
            if job.state in ("running", "undoing"):
                await step(unit, job)
    return bool(jobs)
