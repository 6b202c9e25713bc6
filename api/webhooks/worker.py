"""Queues a delivery for each webhook that wants an event, exactly once, and sends what is due, at least once.

A delivery is taken for a minute, and sent while nothing is held: whoever dies meanwhile leaves it to the next. A
webhook that cannot be reached several times in a row is left alone for some seconds, at the cost of no attempt.
"""

import asyncio
import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.pipeline import Row
from api.db.statements import compiled
from api.edge.consumer import Glimpse, acting_in, consume
from api.edge.outgoing import Breaker, CircuitOpenError, Outgoing, OutgoingError, TargetRefusedError
from api.kernel.changes import Change
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.secrets import SealBrokenError, Secrets
from api.kernel.unit_of_work import UnitOfWork
from api.webhooks import records, rules
from api.webhooks.rules import DeliveryStatus, Outcome, WebhookState
from api.webhooks.sealing import unsealed
from contracts.events.envelope import ActorKind, Envelope, Event
from contracts.settings import OutgoingSettings, SecretSettings

_log = logging.getLogger(__name__)

CONSUMER = "webhooks"

_SEVERAL = 20
#: A delivery that is to be sent at once is hinted at; others have a time.
_POLL_SECONDS, _RETRY_SECONDS, _FORGET_SECONDS = 2.0, 2.0, 3600.0
_KEPT_DAYS = 30

_WANTED = compiled(text("select organization_id, event_types from webhooks where state = 'active'"))
_TAKE = compiled(
    text("""
update webhook_deliveries d set next_attempt_at = clock_timestamp() + interval '1 minute', attempts = d.attempts + 1
from (
    select organization_id, id from webhook_deliveries where next_attempt_at <= clock_timestamp()
    order by next_attempt_at limit :most for update skip locked
) due, webhooks w
where d.organization_id = due.organization_id and d.id = due.id
  and w.organization_id = d.organization_id and w.id = d.webhook_id
returning d.organization_id, d.id, d.webhook_id, d.event_id, d.body, d.attempts,
    w.url, w.sealed, w.sealed_before, w.before_until
""")
)
_POSTPONE = compiled(
    text("""
update webhook_deliveries
set attempts = attempts - 1, next_attempt_at = clock_timestamp() + cast(:seconds as double precision) * interval '1 s'
where organization_id = :organization_id and id = :id and attempts = :attempts and next_attempt_at is not null
""")
)
_FORGET = compiled(
    text(f"delete from webhook_deliveries where created_at < clock_timestamp() - interval '{_KEPT_DAYS} days'")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Queue and send until `stop` is set."""
    outgoing = Outgoing(allow=OutgoingSettings().outgoing_allow)
    sender = Sender(database, outgoing, Secrets.of(SecretSettings()))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(consume(database, CONSUMER, queue, stop, glance=partial(wanted, database)))
            group.create_task(_send_on(sender, stop))
    finally:
        await outgoing.close()


async def wanted(database: Database, events: Sequence[Glimpse]) -> Collection[UUID]:
    """The ids of events that any webhook of their organization wants."""
    async with database.unit(None) as unit:
        rows = await unit.fetch(_WANTED)
    types: dict[UUID, list[list[str]]] = {}
    for row in rows:
        types.setdefault(row.organization_id, []).append(row.event_types)
    return {
        event.id
        for event in events
        if any(not one or event.type in one for one in types.get(event.organization_id, ()))
    }


async def queue(unit: UnitOfWork, event: Envelope[Event]) -> None:
    """Queue an event's deliveries."""
    webhooks = await records.wanting(unit, event.id, event.type)
    for webhook_id in webhooks:
        delivery = rules.queued(webhook_id, event.id, event.type, event.model_dump_json(), now=unit.now)
        records.write_delivery(unit, None, delivery)


@dataclass
class Sender:
    """Sends deliveries that are due."""

    database: Database
    outgoing: Outgoing
    vault: Secrets
    breaker: Breaker = field(default_factory=Breaker)

    async def send_due(self) -> int:
        """Send what is due, some at once; how many there were."""
        async with self.database.unit(None) as unit:
            taken = await unit.fetch(_TAKE, most=_SEVERAL)
        await asyncio.gather(*(self._deliver(row) for row in taken))
        return len(taken)

    async def _deliver(self, taken: Row) -> None:
        try:
            outcome = await self._attempt(taken)
        except CircuitOpenError as rest:
            async with self.database.unit(None) as unit:
                unit.execute(
                    _POSTPONE,
                    organization_id=taken.organization_id,
                    id=taken.id,
                    attempts=taken.attempts,
                    seconds=rest.seconds,
                )
            return
        await self._conclude(taken, outcome)

    async def _attempt(self, taken: Row) -> Outcome:
        try:
            headers = rules.signed(taken.body, taken.event_id, datetime.now(UTC), self._secrets(taken))
        except SealBrokenError:
            return Outcome(error="Its secret cannot be opened any more. Draw a new one.", is_final=True)
        try:
            async with self.breaker.guarding(str(taken.webhook_id)):
                answer = await self.outgoing.send("POST", taken.url, content=taken.body.encode(), headers=headers)
        except CircuitOpenError:
            raise
        except OutgoingError as error:
            return Outcome(error=str(error), is_final=isinstance(error, TargetRefusedError))
        return Outcome(answer)

    def _secrets(self, taken: Row) -> list[str]:
        sealed = [taken.sealed]
        if taken.sealed_before is not None and datetime.now(UTC) < taken.before_until:
            sealed.append(taken.sealed_before)
        return [unsealed(self.vault, taken.organization_id, taken.webhook_id, one) for one in sealed]

    async def _conclude(self, taken: Row, outcome: Outcome) -> None:
        """Write what an attempt came to, unless the delivery was taken anew or asked for again meanwhile."""
        context = Context(organization_id=taken.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with acting_in(self.database, context) as unit:
            webhook = await records.lock(unit, taken.webhook_id)
            delivery = await records.lock_delivery(unit, taken.webhook_id, taken.id)
            if webhook is None or delivery is None:
                return
            after = rules.judged(webhook, outcome, now=unit.now)
            if (delivery.status, delivery.attempts) == (DeliveryStatus.PENDING, taken.attempts):
                tried = rules.after_attempt(after, delivery, outcome, now=unit.now)
                records.write_delivery(unit, delivery, tried)
            if after != webhook:
                records.write_webhook(unit, Change(webhook, after), now=unit.now)
            if (webhook.state, after.state) == (WebhookState.ACTIVE, WebhookState.DISABLED):
                _log.warning("webhook %s of %s is disabled: %s", webhook.id, taken.organization_id, after.reason)
                await records.tell_administrators(unit, after)


async def _send_on(sender: Sender, stop: threading.Event) -> None:
    forget_at, bell = 0.0, sender.database.hints.bell(records.WORK)
    while not stop.is_set():
        try:
            if monotonic() >= forget_at:
                async with sender.database.unit(None) as unit:
                    unit.execute(_FORGET)
                forget_at = monotonic() + _FORGET_SECONDS
            if not await sender.send_due():
                await bell.wait(_POLL_SECONDS, stop)
        except (psycopg.Error, OSError) as error:
            _log.warning("the database does not answer; trying again: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
