"""What follows from what Stripe says of a subscription or an invoice. No I/O.

Whatever is learned is an object as Stripe had it at an instant at which we looked. An older look changes nothing
after a newer one, and what has ended stays ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.billing.plans import ACCOUNT_DAYS, AI_DRAFTS, FREE, METERED, PLANS
from api.edge.entitlements import Limit
from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict
from contracts.events.billing import (
    InvoiceCreated,
    InvoiceUpdated,
    SubscriptionCancelled,
    SubscriptionCreated,
    SubscriptionUpdated,
)

#: What a line of an invoice is for: these, or the key of what is sold by use.
SEATS, CORRECTION, SINGLE = "seats", "correction", "single"
#: Statuses of a subscription that is over; Stripe never leaves them.
ENDED = frozenset({"canceled", "incomplete_expired"})
#: Statuses in which use beyond the plan is paid for, if it is at all; what is used on trial costs nothing at Stripe.
_CHARGED = frozenset({"active", "past_due"})
#: Statuses in which its plan holds.
_HOLDING = frozenset({"active", "trialing", "past_due"})
_UNPAID = frozenset({"past_due", "unpaid"})


class AlreadySubscribed(Conflict):
    """The organization has a subscription."""

    code, detail = "already_subscribed", "There is a subscription already; change it by PATCH /v1/billing/subscription."


class NotSubscribed(Conflict):
    """There is no subscription to change."""

    code, detail = "not_subscribed", "There is no subscription; begin one by POST /v1/billing/checkout."


class SeatsInUse(Conflict):
    """More people are active than there would be seats."""

    code = "seats_in_use"

    def __init__(self, seats: int, used: int) -> None:
        super().__init__(f"{used} people are active. Deactivate {used - seats} of them, or keep {used} seats or more.")


@dataclass(frozen=True, kw_only=True)
class Subscription(Versioned):
    """A subscription. `monthly_minor` is what its seats cost a month, in minor units of `currency`.

    `usage_since`: from when on use beyond this plan is paid for; None, while it is not.
    """

    provider_subscription_id: str
    provider_item_id: str
    plan: str
    status: str
    interval: str
    seats: int
    monthly_minor: int
    currency: str
    started_at: datetime
    trial_ends_at: datetime | None
    period_ends_at: datetime | None
    cancels_at: datetime | None
    ended_at: datetime | None
    past_due_since: datetime | None
    pays_usage: bool
    usage_since: datetime | None
    looked_at: datetime


@dataclass(frozen=True, kw_only=True)
class Invoice(Versioned):
    """An invoice. `seats` counts lines for a whole period, not corrections of a running one."""

    provider_invoice_id: str
    subscription_id: UUID | None
    number: str | None
    status: str
    total_minor: int
    tax_minor: int
    paid_minor: int
    currency: str
    seats: int
    payment_attempts: int
    discount_minor: int
    credited_minor: int
    issued_at: datetime
    page_url: str | None
    pdf_url: str | None
    lines: dict[str, Any]
    looked_at: datetime


#: Fields that say when we looked or which version it is: no facts.
_NO_FACTS = frozenset({"id", "version", "created_at", "updated_at", "looked_at", "past_due_since", "usage_since"})


def learn_subscription(
    known: Subscription | None, seen: Mapping[str, Any], reason: str | None, *, now: datetime
) -> Change[Subscription] | None:
    """The change that a look at a subscription means; None where it says nothing new.

    `seen` has the fields of `Subscription` that are Stripe's, `reason` why it was cancelled.
    """
    if known is None:
        since: dict[str, Any] = {"past_due_since": None, "usage_since": None}
        new = Subscription(id=uuid7(), version=1, created_at=now, updated_at=now, **since, **seen)
        created = _since(new, None)
        event = SubscriptionCreated(**_subscription_facts(created))
        return Change(None, created, event, min(created.started_at, now))
    if known.ended_at is not None or seen["looked_at"] <= known.looked_at:
        return None
    after = _since(revised(known, now, **seen), known)
    if _facts(after) == _facts(known):
        return None
    facts = _subscription_facts(after)
    if after.ended_at is not None:
        return Change(known, after, SubscriptionCancelled(**facts, reason=reason), min(after.ended_at, now))
    return Change(known, after, SubscriptionUpdated(**facts))


def learn_invoice(known: Invoice | None, seen: Mapping[str, Any], *, now: datetime) -> Change[Invoice] | None:
    """The same of an invoice."""
    if known is None:
        new = Invoice(id=uuid7(), version=1, created_at=now, updated_at=now, **seen)
        return Change(None, new, InvoiceCreated(**_invoice_facts(new)), min(new.issued_at, now))
    if seen["looked_at"] <= known.looked_at:
        return None
    after = revised(known, now, **seen)
    if _facts(after) == _facts(known):
        return None
    return Change(known, after, InvoiceUpdated(**_invoice_facts(after)))


@dataclass(frozen=True)
class Entitled:
    """What an organization may have, and what from `falls_back_at` on."""

    limits: Mapping[Limit, int]
    fallback: Mapping[Limit, int]
    falls_back_at: datetime | None


def entitled(subscription: Subscription | None, *, grace: timedelta) -> Entitled:
    """What a subscription entitles to: its plan while it is paid for, and for `grace` after a payment failed."""
    if subscription is None or subscription.status not in _HOLDING | _UNPAID:
        return Entitled(FREE.limits, FREE.limits, None)
    limits = PLANS[subscription.plan].allows(subscription.seats, beyond=subscription.usage_since is not None)
    late = subscription.past_due_since
    return Entitled(limits, FREE.limits, late + grace if late else None)


def check_seats(seats: int, used: int) -> None:
    """Refuse fewer seats than there are active people.

    Raises:
        SeatsInUse: there would be.
    """
    if seats < used:
        raise SeatsInUse(seats, used)


def _since(after: Subscription, before: Subscription | None) -> Subscription:
    """With the instants since which payment is late and use is paid for: those of the first look that saw it."""
    late = (before.past_due_since if before else None) or after.looked_at
    is_late = after.status in _UNPAID
    paid = before.usage_since if before is not None and before.plan == after.plan else None
    is_paid = after.pays_usage and after.status in _CHARGED
    return replace(
        after,
        past_due_since=late if is_late else None,
        usage_since=(paid or after.looked_at) if is_paid else None,
    )


def _facts(state: Subscription | Invoice) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in fields(state) if field.name not in _NO_FACTS}


def _subscription_facts(one: Subscription) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("plan", "status", "seats", "interval", "monthly_minor", "currency")}


def _invoice_facts(one: Invoice) -> dict[str, Any]:
    names = ("subscription_id", "status", "total_minor", "paid_minor", "currency", "seats", "payment_attempts")
    used = [line for line in one.lines["items"] if line.get("kind") in METERED]
    return {name: getattr(one, name) for name in names} | {
        "seats_minor": sum(line["amount_minor"] for line in one.lines["items"] if line.get("kind") == SEATS),
        "usage_minor": sum(line["amount_minor"] for line in used),
        "ai_drafts": sum(line["quantity"] for line in used if line["kind"] == AI_DRAFTS.key),
        "account_days": sum(line["quantity"] for line in used if line["kind"] == ACCOUNT_DAYS.key),
        "usage_from": min((line["starts_at"] for line in used), default=None),
        "usage_to": max((line["ends_at"] for line in used), default=None),
    }
