"""Learns what Stripe's deliveries point at: the object's present state is fetched, and stored as the delivery ends.

A delivery whose worker dies is taken up again when its time has come; what it points at is fetched anew, so doing so
twice is doing it once. Nothing is held while Stripe answers.
"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import text

from api.billing import records
from api.billing.customers import as_stripe, owner_of
from api.billing.provider import BillingUnavailable, Provider
from api.billing.seen import SeenInvoice, SeenSubscription, UnknownPrice
from api.billing.usage import report_usage
from api.db.statements import compiled
from api.kernel.database import Database
from api.kernel.errors import CrmError
from contracts.settings import BillingSettings

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
#: Between two reports of what was used; old deliveries go then, too.
_TIDY_SECONDS = 600.0
#: Deliveries of objects that nobody here knows are looked at this often before they are given up.
_MOST_ATTEMPTS = 12
#: Deliveries are kept for this long after they are done.
_KEPT_DAYS = 30

_TAKE = compiled(
    text("""
update stripe_events as e
set attempts = attempts + 1,
    due_at = clock_timestamp() + least(interval '1 hour', interval '5 s' * (2 ^ least(attempts, 10)))
from (
    select event_id from stripe_events where done_at is null and due_at <= clock_timestamp()
    order by due_at limit 1 for update skip locked
) as first
where e.event_id = first.event_id
returning e.event_id, e.type, e.object_id, e.customer_id, e.attempts, clock_timestamp() as looked_at
""")
)
_GIVE_UP = compiled(
    text("update stripe_events set done_at = clock_timestamp(), problem = :problem where event_id = :event_id")
)
_DONE = compiled(
    text("update stripe_events set done_at = clock_timestamp(), problem = null where event_id = :event_id")
)
_FORGET = compiled(text(f"delete from stripe_events where done_at < clock_timestamp() - interval '{_KEPT_DAYS} days'"))


@dataclass(frozen=True)
class Delivery:
    """A delivery that this worker took. `looked_at` is PostgreSQL's clock then."""

    event_id: str
    type: str
    object_id: str
    customer_id: str | None
    attempts: int
    looked_at: datetime


async def run(database: Database, stop: threading.Event) -> None:
    """Learn deliveries until `stop` is set; where billing is off, there are none."""
    settings = BillingSettings()
    if not settings.is_billing_on:
        return
    async with Provider(settings) as provider:
        tidy_at = 0.0
        while not stop.is_set():
            try:
                while not stop.is_set() and await learn_next(database, provider, settings):
                    pass
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + _TIDY_SECONDS
                    await _tidy(database, provider)
                await asyncio.sleep(_POLL_SECONDS)
            except (psycopg.Error, OSError):
                _log.exception("the database does not answer; trying again")
                await asyncio.sleep(_RETRY_SECONDS)


async def _tidy(database: Database, provider: Provider) -> None:
    """What is done now and then: old deliveries go, use is told."""
    async with database.unit(None) as unit:
        unit.execute(_FORGET)
    try:
        await report_usage(database, provider)
    except BillingUnavailable:
        _log.warning("Stripe does not answer; reports of use wait")


async def learn_next(database: Database, provider: Provider, settings: BillingSettings) -> bool:
    """Take the delivery whose turn it is, and learn what it points at. Answers whether there was one."""
    async with database.unit(None) as unit:
        taken = await unit.fetch(_TAKE)
    if not taken:
        return False
    row = taken[0]
    delivery = Delivery(row.event_id, row.type, row.object_id, row.customer_id, row.attempts, row.looked_at)
    try:
        await _learn(database, provider, delivery, settings)
    except BillingUnavailable:
        _log.warning("Stripe does not answer; %s waits", delivery.event_id)
    except (CrmError, UnknownPrice) as error:
        _log.warning("%s of Stripe's cannot be learned: %s", delivery.type, error)
        if delivery.attempts >= _MOST_ATTEMPTS:
            await _give_up(database, delivery, str(error))
    return True


async def _learn(database: Database, provider: Provider, delivery: Delivery, settings: BillingSettings) -> None:
    organization_id = await owner_of(database, delivery.customer_id)
    seen = await _look(provider, delivery) if organization_id else None
    if organization_id is None or seen is None:
        # another system's customer at the same account, or a type that says nothing of what is kept here
        await _give_up(database, delivery, "nothing of ours" if organization_id is None else None)
        return
    async with as_stripe(database, organization_id) as unit:
        await records.learn(unit, seen, grace=records.grace(settings))
        unit.execute(_DONE, event_id=delivery.event_id)


async def _look(provider: Provider, delivery: Delivery) -> SeenSubscription | SeenInvoice | None:
    kind = delivery.type
    if kind.startswith("customer.subscription."):
        return await provider.subscription(delivery.object_id, delivery.looked_at)
    # an invoice that is about to be made has no id yet, a deleted draft is nowhere any more
    is_gone = not delivery.object_id or kind in ("invoice.upcoming", "invoice.deleted")
    if kind.startswith(("invoice.", "credit_note.")) and not is_gone:
        return await provider.invoice(delivery.object_id, delivery.looked_at)
    return None


async def _give_up(database: Database, delivery: Delivery, problem: str | None) -> None:
    async with database.unit(None) as unit:
        await unit.fetch(_GIVE_UP, event_id=delivery.event_id, problem=problem)
