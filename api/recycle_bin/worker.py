"""Takes out of the recycle bin what has lain there for 90 days."""

import logging
import threading
from time import monotonic
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from api.edge.consumer import acting_in
from api.kernel.binning import OPEN
from api.kernel.context import Context
from api.kernel.database import Database
from api.recycle_bin.records import AT_ONCE, OVERDUE, PURGES
from contracts.events.envelope import ActorKind

_log = logging.getLogger(__name__)
_EVERY_SECONDS, _RETRY_SECONDS = 3600.0, 10.0


async def run(database: Database, stop: threading.Event) -> None:
    """Look every hour, until `stop` is set."""
    bell = database.hints.bell("recycle bin")  # nobody rings: only time does
    while not stop.is_set():
        wait_seconds = _EVERY_SECONDS
        try:
            await purge(database)
        except psycopg.Error as error:
            _log.warning("the recycle bin waits: %s", error)
            wait_seconds = _RETRY_SECONDS
        until = monotonic() + wait_seconds
        while monotonic() < until and not stop.is_set():
            await bell.wait(until - monotonic(), stop)


async def purge(database: Database) -> int:
    """Take out what is over, so many of each kind in a transaction; answers in how many organizations."""
    purged = set[UUID]()
    while overdue := await _overdue(database):
        purged |= overdue
        for organization_id in overdue:
            context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
            async with acting_in(database, context) as unit:
                unit.execute(OPEN)
                for statement in PURGES:
                    unit.execute(statement, at_once=AT_ONCE)
    return len(purged)


async def _overdue(database: Database) -> set[UUID]:
    async with database.unit(None) as unit:
        return {row.organization_id for row in await unit.fetch(OVERDUE)}
