"""Statements of billing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from uuid_utils.compat import uuid7

from api.billing import counting
from api.billing.rules import Entitled, Invoice, Subscription, entitled, learn_invoice, learn_subscription
from api.billing.seen import SeenInvoice, SeenSubscription
from api.db.statements import compiled
from api.edge.entitlements import USED, Limit
from api.kernel.changes import Change
from api.kernel.context import Context
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.billing import Invoice as InvoiceRow
from api.models.billing import Subscription as SubscriptionRow
from contracts.events.envelope import ActorKind
from contracts.settings import BillingSettings

_TABLES = {Subscription: SubscriptionRow, Invoice: InvoiceRow}
_SUBSCRIPTIONS, _INVOICES = rows_of(Subscription, SubscriptionRow), rows_of(Invoice, InvoiceRow)

# what has not ended comes first, then what began last
_NEWEST = compiled(
    _SUBSCRIPTIONS.order_by(SubscriptionRow.ended_at.desc().nulls_first(), SubscriptionRow.started_at.desc()).limit(1)
)
_SUBSCRIPTION = compiled(_SUBSCRIPTIONS.where(SubscriptionRow.provider_subscription_id == bindparam("provider_id")))
_INVOICE = compiled(_INVOICES.where(InvoiceRow.provider_invoice_id == bindparam("provider_id")))
_CUSTOMER = compiled(
    text("""
select provider_customer_id from billing_customers where organization_id = :organization_id
""")
)
_ORGANIZATION = compiled(text("select name from organizations where organization_id = :organization_id"))
_CLOCK = compiled(text("select clock_timestamp() as now"))
# an organization's billing is learned by one at a time
_LOCK = compiled(text("select pg_advisory_xact_lock(hashtextextended('plan:' || cast(:organization_id as text), 0))"))
_KEEP_CUSTOMER = compiled(
    text("""
insert into billing_customers (organization_id, id, provider_customer_id)
values (:organization_id, :id, :provider_customer_id) on conflict (organization_id) do nothing
""")
)
_ENTITLE = compiled(
    text("""
insert into entitlements (organization_id, id, limits, fallback, falls_back_at)
values (:organization_id, :organization_id, :limits, :fallback, :falls_back_at)
on conflict (organization_id, id) do update
    set limits = excluded.limits, fallback = excluded.fallback, falls_back_at = excluded.falls_back_at
""")
)

INVOICES = Listing(_INVOICES, filters={}, order=(InvoiceRow.issued_at, InvoiceRow.id), newest_first=True)


class Standing:
    """What billing knows of an organization: at `now`, by PostgreSQL's clock."""

    def __init__(
        self,
        name: str,
        customer_id: str | None,
        subscription: Subscription | None,
        used: Mapping[Limit, int],
        now: datetime,
    ) -> None:
        self.name, self.customer_id, self.newest = name, customer_id, subscription
        self.used, self.now = used, now

    @property
    def seats_used(self) -> int:
        """How many people are active."""
        return self.used[Limit.SEATS]

    @property
    def subscription(self) -> Subscription | None:
        """The subscription that has not ended."""
        return self.newest if self.newest is not None and self.newest.ended_at is None else None


async def read_standing(unit: UnitOfWork) -> Standing:
    """Read it, in one wait."""
    counting = [statement.bind() for statement in USED.values()]
    [organization], customers, found, [clock], *counts = await unit.fetch_all(
        _ORGANIZATION.bind(), _CUSTOMER.bind(), _NEWEST.bind(), _CLOCK.bind(), *counting
    )
    used = {limit: int(row.used) for limit, [row] in zip(USED, counts, strict=True)}
    subscription = as_state(Subscription, found[0]) if found else None
    customer_id = customers[0].provider_customer_id if customers else None
    return Standing(organization.name, customer_id, subscription, used, clock.now)


def grace(settings: BillingSettings) -> timedelta:
    """How long a plan goes on after its first payment that failed."""
    return timedelta(days=settings.billing_grace_days)


def as_provider(organization_id: UUID) -> Context:
    """The context in which Stripe's word is written."""
    return Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())


def keep_customer(unit: UnitOfWork, row_id: UUID, provider_customer_id: str) -> None:
    """Queue by what Stripe knows the organization; the first answer stays."""
    unit.execute(_KEEP_CUSTOMER, id=row_id, provider_customer_id=provider_customer_id)


async def learn(unit: UnitOfWork, seen: SeenSubscription | SeenInvoice, *, grace: timedelta) -> bool:
    """Queue what a look at Stripe means. Answers whether it was news."""
    change: Change[Subscription] | Change[Invoice] | None
    if isinstance(seen, SeenSubscription):
        provider_id = seen.fields["provider_subscription_id"]
        _, found = await unit.fetch_all(_LOCK.bind(), _SUBSCRIPTION.bind(provider_id=provider_id))
        known = as_state(Subscription, found[0]) if found else None
        change = learn_subscription(known, seen.fields, seen.reason, now=unit.now)
        if change is not None:
            if known is not None and known.usage_since != change.after.usage_since:
                counting.count(unit, known, until=seen.fields["looked_at"])
            await _entitle(unit, change.after, grace)
    else:
        change = await _learn_invoice(unit, seen)
    if change is None:
        return False
    write(unit, [change], _TABLES)
    return True


async def _learn_invoice(unit: UnitOfWork, seen: SeenInvoice) -> Change[Invoice] | None:
    provider_id = seen.fields["provider_invoice_id"]
    _, found, subscriptions = await unit.fetch_all(
        _LOCK.bind(),
        _INVOICE.bind(provider_id=provider_id),
        _SUBSCRIPTION.bind(provider_id=seen.provider_subscription_id or ""),
    )
    known = as_state(Invoice, found[0]) if found else None
    subscription_id = subscriptions[0].id if subscriptions else known.subscription_id if known else None
    return learn_invoice(known, {**seen.fields, "subscription_id": subscription_id}, now=unit.now)


async def _entitle(unit: UnitOfWork, subscription: Subscription, grace: timedelta) -> None:
    """Queue what the organization may have, unless a newer subscription says so."""
    newest = await unit.fetch(_NEWEST)
    is_newest = not newest or newest[0].id == subscription.id or subscription.started_at >= newest[0].started_at
    if is_newest or newest[0].ended_at is not None:
        allowed = entitled(subscription, grace=grace)
        unit.execute(_ENTITLE, **_row(allowed))


def _row(allowed: Entitled) -> Mapping[str, Any]:
    return {"limits": allowed.limits, "fallback": allowed.fallback, "falls_back_at": allowed.falls_back_at}
