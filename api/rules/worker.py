"""Lets rules act: on events as they come, on time as it passes; and makes the calls that rules ask for."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

import psycopg
from pydantic_core import to_json
from sqlalchemy import text

from api.db.statements import compiled
from api.edge.consumer import consume
from api.edge.outgoing import NoAnswerError, Outgoing, OutgoingError, TargetRefusedError
from api.kernel.database import Database
from api.rules.automaton import Automaton
from api.rules.figures import Warehouse
from contracts.settings import OutgoingSettings

_log = logging.getLogger(__name__)

CONSUMER = "rules"

_TICK_SECONDS, _CALL_SECONDS = 15.0, 2.0
#: Seconds to the next try of a call; after the last it is given up.
_AGAIN = (5, 300, 1800, 7200)

_TIMED = compiled(
    text("select distinct organization_id from rules where is_timed and mode <> 'off' and deleted_at is null")
)
# taken for a minute: whoever dies meanwhile leaves them to the next
_TAKE = compiled(
    text("""
update rule_calls c set next_at = clock_timestamp() + interval '1 minute', attempts = attempts + 1
where c.id in (
    select id from rule_calls where sent_at is null and error is null and next_at <= clock_timestamp()
    order by next_at limit 20 for update skip locked)
returning c.id, c.url, c.body, c.attempts
""")
)
_SENT = compiled(text("update rule_calls set sent_at = clock_timestamp() where id = :id"))
_AGAIN_LATER = compiled(
    text("""
update rule_calls set error = :error,
    next_at = clock_timestamp() + cast(:seconds as integer) * interval '1 second' where id = :id
""")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Let rules act until `stop` is set."""
    warehouse, outgoing = Warehouse(), Outgoing(allow=OutgoingSettings().outgoing_allow)
    automaton = Automaton(database, warehouse.ask)
    glance, concerns = automaton.glance, automaton.concerns
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(consume(database, CONSUMER, automaton.handle, stop, glance=glance, concerns=concerns))
            group.create_task(_repeat(lambda: tick(automaton), _TICK_SECONDS, stop))
            group.create_task(_repeat(lambda: make_calls(database, outgoing), _CALL_SECONDS, stop))
    finally:
        await outgoing.close()
        warehouse.close()


async def tick(automaton: Automaton) -> int:
    """Let time set rules off, wherever there are some for it; how often it did."""
    async with automaton.database.unit(None) as unit:
        organizations = await unit.fetch(_TIMED)
    return sum([await automaton.tick(one.organization_id) for one in organizations])


async def make_calls(database: Database, outgoing: Outgoing) -> int:
    """Make the calls that are due; how many there were. A call may arrive twice; its id is in a header."""
    async with database.unit(None) as unit:
        calls = await unit.fetch(_TAKE)
    for call in calls:
        error = await _send(outgoing, call.id, call.url, to_json(call.body))
        is_last = isinstance(error, TargetRefusedError) or call.attempts > len(_AGAIN)
        async with database.unit(None) as unit:
            if error is None:
                unit.execute(_SENT, id=call.id)
            else:
                seconds = 0 if is_last else _AGAIN[call.attempts - 1]
                unit.execute(_AGAIN_LATER, id=call.id, error=str(error) if is_last else None, seconds=seconds)
    return len(calls)


async def _send(outgoing: Outgoing, call_id: object, url: str, content: bytes) -> OutgoingError | None:
    headers = {"Content-Type": "application/json", "Webhook-Id": str(call_id)}
    try:
        answer = await outgoing.send("POST", url, content=content, headers=headers)
    except OutgoingError as error:
        return error
    return None if answer.is_success else NoAnswerError(f"It answered {answer.status}.")


async def _repeat(work: Callable[[], Awaitable[int]], seconds: float, stop: threading.Event) -> None:
    while not stop.is_set():
        began = monotonic()
        try:
            await work()
        except (psycopg.Error, OSError) as error:
            _log.warning("the database does not answer; trying again: %s", error)
        while not stop.is_set() and monotonic() < began + seconds:  # noqa: ASYNC110 # `stop` is set by a signal
            await asyncio.sleep(0.2)
