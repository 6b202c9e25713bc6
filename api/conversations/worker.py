"""Wakes conversations up whose sleep is over."""

import logging
import threading
from time import monotonic

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.conversations import records, rules
from api.db.statements import compiled
from api.edge.consumer import acting_in
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import NotFound
from contracts.channels import ConversationStatus
from contracts.events.envelope import ActorKind

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 10.0
_MOST = 500

_OVER = compiled(
    text(f"""
select organization_id, id from conversations
where status = 'snoozed' and snoozed_until <= clock_timestamp() order by snoozed_until limit {_MOST}
""")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Look every few seconds, until `stop` is set."""
    bell = database.hints.bell("snoozed conversations")  # nobody rings: only time does
    while not stop.is_set():
        try:
            while await wake(database) == _MOST:
                pass
        except psycopg.Error as error:
            _log.warning("sleeping conversations wait: %s", error)
        until = monotonic() + _EVERY_SECONDS
        while monotonic() < until and not stop.is_set():
            await bell.wait(until - monotonic(), stop)


async def wake(database: Database) -> int:
    """Wake up those whose time has come; how many there were."""
    async with database.unit(None) as unit:
        over = await unit.fetch(_OVER)
    for row in over:
        context = Context(organization_id=row.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with acting_in(database, context) as unit:
            try:
                conversation, _ = await records.lock_conversation(unit, row.id, owners=None)
            except NotFound:  # erased meanwhile
                continue
            until = conversation.snoozed_until
            if conversation.status is ConversationStatus.SNOOZED and until is not None and until <= unit.now:
                records.write_changes(unit, rules.reopen(conversation, unit.now))
    return len(over)
