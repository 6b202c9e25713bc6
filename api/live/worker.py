"""Numbers what was committed, per organization, within milliseconds of PostgreSQL's hint. Any number of processes may
do so at once: they take turns at the one row of `live_progress`, and what one has numbered the next one leaves alone.
"""

import asyncio
import logging
import threading
from time import monotonic

import psycopg

from api.kernel.database import Database
from api.kernel.hints import EVENTS
from api.live import records
from api.live.numbering import Holes

_log = logging.getLogger(__name__)

_LOOK_SECONDS, _RETRY_SECONDS = 2.0, 2.0
_FORGET_SECONDS = 600.0


async def run(database: Database, stop: threading.Event) -> None:
    """Number until `stop` is set."""
    bell = database.hints.bell(EVENTS)
    holes: Holes | None = None
    forget_at = monotonic() + _FORGET_SECONDS
    while not stop.is_set():
        try:
            holes = holes or Holes(await _settled(database))
            while await number(database, holes) >= records.MOST_EVENTS:  # what filled holes comes on top
                pass
            if monotonic() >= forget_at:
                async with database.unit(None) as unit:
                    unit.execute(records.FORGET)
                forget_at = monotonic() + _FORGET_SECONDS
        except (psycopg.Error, OSError) as error:
            _log.warning("live updates wait for PostgreSQL: %s", error)
            holes = None
            await asyncio.sleep(_RETRY_SECONDS)
        await bell.wait(_LOOK_SECONDS, stop)


async def number(database: Database, holes: Holes) -> int:
    """Number what is new; how much was looked at."""
    async with database.unit(None) as unit:
        settled = holes.settled
        _, [horizon], seen = await unit.fetch_all(
            records.LOCK.bind(),
            records.HORIZON.bind(),
            records.NUMBER.bind(high=holes.high, holes=holes.positions),
        )
        if seen:
            unit.execute(records.SETTLE, settled=settled)
    holes.take((row.position for row in seen), oldest=horizon.oldest, newest=horizon.newest, now=monotonic())
    return len(seen)


async def _settled(database: Database) -> int:
    async with database.unit(None) as unit:
        [row] = await unit.fetch(records.LOCK)
    return int(row.settled_position)
