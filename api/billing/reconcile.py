"""Compares what is kept with Stripe's own lists, and learns what differs: for deliveries that never came."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy import text

from api.billing import records
from api.billing.customers import as_stripe, owner_of
from api.billing.provider import Provider
from api.billing.seen import SeenInvoice, SeenSubscription
from api.billing.usage import differing_usage
from api.db.statements import compiled
from api.kernel.database import Database
from contracts.settings import BillingSettings

_CLOCK = compiled(text("select clock_timestamp() as now"))


@dataclass
class Reconciled:
    """How much was compared. `repaired` are Stripe's ids of what stood otherwise here, `foreign` is not ours.

    `usage` says whose use Stripe has summed up otherwise than it was told; that is for an operator to look into.
    """

    compared: int = 0
    foreign: int = 0
    repaired: list[str] = field(default_factory=list)
    usage: list[str] = field(default_factory=list)


async def reconcile(database: Database, provider: Provider, settings: BillingSettings) -> Reconciled:
    """Go through all of Stripe's subscriptions, then all invoices, then what its meters have of our customers.

    Raises:
        BillingUnavailable: Stripe does not answer; what was learned stays.
    """
    async with database.unit(None) as unit:
        [clock] = await unit.fetch(_CLOCK)
    done = Reconciled()
    lists: tuple[AsyncIterator[SeenSubscription | SeenInvoice], ...]
    lists = (provider.subscriptions(clock.now), provider.invoices(clock.now))
    for found in lists:
        async for seen in found:
            await _compare(database, seen, settings, done)
    done.usage = await differing_usage(database, provider, clock.now)
    return done


async def _compare(
    database: Database, seen: SeenSubscription | SeenInvoice, settings: BillingSettings, done: Reconciled
) -> None:
    organization_id = await owner_of(database, seen.customer_id)
    if organization_id is None:
        done.foreign += 1
        return
    done.compared += 1
    async with as_stripe(database, organization_id) as unit:
        if await records.learn(unit, seen, grace=records.grace(settings)):
            done.repaired.append(seen.provider_id)
