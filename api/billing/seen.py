"""Stripe's objects as our fields: what a look at a subscription or an invoice saw. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.billing.plans import METERED, SOLD, Interval
from api.billing.rules import CORRECTION, ENDED, SEATS, SINGLE

_CREDITED = ("pre_payment_credit_notes_amount", "post_payment_credit_notes_amount")


class UnknownPrice(LookupError):
    """A subscription is for something that the catalogue does not have."""


@dataclass(frozen=True)
class SeenSubscription:
    """A subscription of Stripe's: fields of `rules.Subscription`, whose it is, and why it was cancelled."""

    fields: Mapping[str, Any]
    customer_id: str
    reason: str | None

    @property
    def provider_id(self) -> str:
        """Stripe's id of it."""
        return str(self.fields["provider_subscription_id"])


@dataclass(frozen=True)
class SeenInvoice:
    """An invoice of Stripe's: fields of `rules.Invoice`, and the subscription by Stripe's id."""

    fields: Mapping[str, Any]
    customer_id: str
    provider_subscription_id: str | None

    @property
    def provider_id(self) -> str:
        """Stripe's id of it."""
        return str(self.fields["provider_invoice_id"])


def seen_subscription(found: Mapping[str, Any], looked_at: datetime) -> SeenSubscription:
    """Stripe's object as our fields.

    Raises:
        UnknownPrice: it is for something that the catalogue does not have.
    """
    items = found["items"]["data"]
    item = next((one for one in items if one["price"].get("lookup_key") in SOLD), items[0])
    price = item["price"]
    if price.get("lookup_key") not in SOLD:
        message = f"subscription {found['id']} is for price {price['id']}, which is none of ours"
        raise UnknownPrice(message)
    plan, interval = SOLD[price["lookup_key"]]
    seats = item.get("quantity") or 0
    cost = seats * (price["unit_amount"] or 0)
    ended_at = found.get("ended_at") or (found.get("canceled_at") if found["status"] in ENDED else None)
    fields = {
        "provider_subscription_id": found["id"],
        "provider_item_id": item["id"],
        "plan": plan.name,
        "status": found["status"],
        "interval": interval.value,
        "seats": seats,
        "monthly_minor": cost if interval is Interval.MONTH else round(cost / 12),
        "currency": price["currency"].upper(),
        "started_at": _instant(found["start_date"]),
        "trial_ends_at": _instant(found.get("trial_end")),
        "period_ends_at": _instant(item.get("current_period_end")),
        "cancels_at": _instant(found.get("cancel_at")),
        "ended_at": _instant(ended_at),
        "pays_usage": METERED.keys() <= {one["price"].get("lookup_key") for one in items},
        "looked_at": looked_at,
    }
    reason = (found.get("cancellation_details") or {}).get("reason")
    return SeenSubscription(fields, _id(found["customer"]), reason)


def seen_invoice(
    found: Mapping[str, Any], looked_at: datetime, lines_found: Sequence[Mapping[str, Any]] | None = None
) -> SeenInvoice:
    """Stripe's object as our fields. Itself it has ten of its lines at most; `lines_found`: all, with their prices."""
    lines = [_line(line) for line in (found["lines"]["data"] if lines_found is None else lines_found)]
    parent = (found.get("parent") or {}).get("subscription_details") or {}
    fields = {
        "provider_invoice_id": found["id"],
        "number": found.get("number"),
        "status": found["status"] or "draft",
        "total_minor": found["total"],
        "tax_minor": sum(tax["amount"] for tax in found.get("total_taxes") or ()),
        "paid_minor": found["amount_paid"],
        "currency": found["currency"].upper(),
        "seats": sum(line["quantity"] for line in lines if line["kind"] == SEATS),
        "payment_attempts": found.get("attempt_count") or 0,
        "discount_minor": sum(one["amount"] for one in found.get("total_discount_amounts") or ()),
        "credited_minor": sum(found.get(name) or 0 for name in _CREDITED),
        "issued_at": _instant(found["created"]),
        "page_url": found.get("hosted_invoice_url"),
        "pdf_url": found.get("invoice_pdf"),
        "lines": {"items": lines},
        "looked_at": looked_at,
    }
    subscription_id = parent.get("subscription")
    return SeenInvoice(fields, _id(found["customer"]), _id(subscription_id) if subscription_id else None)


def _item_of(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a line says of the subscription's item that it is for; nothing, where it is for a single thing."""
    found: Mapping[str, Any] | None = (line.get("parent") or {}).get("subscription_item_details")
    return found or {}


def _kind(line: Mapping[str, Any]) -> str:
    price = ((line.get("pricing") or {}).get("price_details") or {}).get("price")
    key = price.get("lookup_key") if isinstance(price, Mapping) else None
    if key in METERED:
        return str(key)
    details = _item_of(line)
    if not details:
        return SINGLE
    return CORRECTION if details.get("proration") else SEATS


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": line.get("description") or "",
        "quantity": line.get("quantity") or 0,
        "amount_minor": line["amount"],
        "is_proration": bool(_item_of(line).get("proration")),
        "kind": _kind(line),
        "starts_at": _iso(line["period"]["start"]),
        "ends_at": _iso(line["period"]["end"]),
    }


def _id(reference: str | Mapping[str, Any]) -> str:
    return reference if isinstance(reference, str) else str(reference["id"])


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
