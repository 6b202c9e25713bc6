"""Stripe, as billing uses it: calls with time-outs, retries and idempotency keys, and its objects as our fields.

None of this happens inside a transaction. `looked_at` is PostgreSQL's clock before the call: no answer is older.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import stripe

from api.billing.plans import SOLD, Interval, Plan
from api.billing.rules import ENDED
from api.kernel.errors import CrmError, Unprocessable
from contracts.settings import BillingSettings

_SECONDS = 10
_RETRIES = 2


class BillingOff(CrmError):
    """Nothing is sold here."""

    status, code, title = 409, "billing_off", "Billing is off"
    detail = "Billing is not set up here, and everything is allowed. An operator sets SLUICE_STRIPE_SECRET_KEY."


class BillingUnavailable(CrmError):
    """Stripe does not answer."""

    status, code, title = 503, "billing_unavailable", "Stripe does not answer"

    def __init__(self) -> None:
        super().__init__("Stripe does not answer. Nothing was changed; try again.", headers={"Retry-After": "5"})


class RefusedByStripe(Unprocessable):
    """Stripe refused, and said why."""

    code = "refused_by_stripe"


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


class Provider:
    """The account at Stripe that the settings name: `async with Provider(settings) as provider`."""

    def __init__(self, settings: BillingSettings) -> None:
        if settings.stripe_secret_key is None:
            raise BillingOff
        self._settings = settings
        self._http = stripe.HTTPXClient(timeout=_SECONDS)
        self._client = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            base_addresses={"api": settings.stripe_api_url},
            max_network_retries=_RETRIES,
            http_client=self._http,
        )

    async def __aenter__(self) -> Self:
        """Itself; connections open when they are wanted."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the library has no types for it

    async def create_customer(self, organization_id: UUID, name: str) -> str:
        """The customer of an organization: made once, however often it is asked for."""
        with _explained():
            customer = await self._client.v1.customers.create_async(
                {"name": name, "metadata": {"organization_id": str(organization_id)}},
                {"idempotency_key": f"customer:{organization_id}"},
            )
        return customer.id

    async def open_checkout(
        self, customer_id: str, plan: Plan, interval: Interval, seats: int, *, is_first: bool, key: str
    ) -> str:
        """Address of a page of Stripe's on which the plan is bought."""
        trial = self._settings.billing_trial_days
        url = self._settings.billing_return_url
        with _explained():
            session = await self._client.v1.checkout.sessions.create_async(
                {
                    "subscription_data": {"trial_period_days": trial} if is_first and trial else {},
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [{"price": await self._price(plan, interval), "quantity": seats}],
                    "allow_promotion_codes": True,
                    "tax_id_collection": {"enabled": True},
                    "customer_update": {"name": "auto", "address": "auto"},
                    "success_url": f"{url}?bought=yes",
                    "cancel_url": url,
                },
                {"idempotency_key": f"checkout:{key}"},
            )
        return str(session.url)

    async def open_portal(self, customer_id: str) -> str:
        """Address of a page of Stripe's: cards, addresses, tax ids, invoices."""
        with _explained():
            session = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": self._settings.billing_return_url}
            )
        return session.url

    async def change(
        self,
        subscription_id: str,
        item_id: str,
        *,
        key: str,
        looked_at: datetime,
        price: tuple[Plan, Interval] | None = None,
        seats: int | None = None,
        cancels_at_period_end: bool | None = None,
    ) -> SeenSubscription:
        """Change plan, seats or end; what is left of the period is charged or credited to the second."""
        item: dict[str, Any] = {"id": item_id}
        if price is not None:
            item["price"] = await self._price(*price)
        if seats is not None:
            item["quantity"] = seats
        parameters: dict[str, Any] = {"proration_behavior": "create_prorations"}
        if len(item) > 1:
            parameters["items"] = [item]
        if cancels_at_period_end is not None:
            parameters["cancel_at_period_end"] = cancels_at_period_end
        with _explained():
            changed = await self._client.v1.subscriptions.update_async(
                subscription_id,
                parameters,  # type: ignore[arg-type]  # built field by field
                {"idempotency_key": f"change:{key}"},
            )
        return seen_subscription(changed.to_dict(), looked_at)

    async def preview(
        self,
        customer_id: str,
        subscription_id: str,
        item_id: str,
        price: tuple[Plan, Interval],
        seats: int,
        looked_at: datetime,
    ) -> SeenInvoice:
        """The next invoice, had the change been made now."""
        with _explained():
            invoice = await self._client.v1.invoices.create_preview_async(
                {
                    "customer": customer_id,
                    "subscription": subscription_id,
                    "subscription_details": {
                        "items": [{"id": item_id, "price": await self._price(*price), "quantity": seats}],
                        "proration_behavior": "create_prorations",
                    },
                }
            )
        return seen_invoice({"id": "preview", **invoice.to_dict()}, looked_at)

    async def subscription(self, subscription_id: str, looked_at: datetime) -> SeenSubscription:
        """A subscription as it stands."""
        with _explained():
            found = await self._client.v1.subscriptions.retrieve_async(subscription_id)
        return seen_subscription(found.to_dict(), looked_at)

    async def invoice(self, invoice_id: str, looked_at: datetime) -> SeenInvoice:
        """An invoice as it stands."""
        with _explained():
            found = await self._client.v1.invoices.retrieve_async(invoice_id)
        return seen_invoice(found.to_dict(), looked_at)

    async def subscriptions(self, looked_at: datetime) -> AsyncIterator[SeenSubscription]:
        """All of them, ended ones too."""
        with _explained():
            page = await self._client.v1.subscriptions.list_async({"status": "all", "limit": 100})
            async for one in page.auto_paging_iter():
                with suppress(UnknownPrice):  # another system's, at the same account
                    yield seen_subscription(one.to_dict(), looked_at)

    async def invoices(self, looked_at: datetime) -> AsyncIterator[SeenInvoice]:
        """All of them."""
        with _explained():
            page = await self._client.v1.invoices.list_async({"limit": 100})
            async for one in page.auto_paging_iter():
                yield seen_invoice(one.to_dict(), looked_at)

    async def set_up_catalogue(self) -> list[str]:
        """Make the prices that are missing; answers their lookup keys."""
        with _explained():
            found = await self._client.v1.prices.list_async({"lookup_keys": list(SOLD), "active": True, "limit": 100})
            missing = [key for key in SOLD if key not in {price.lookup_key for price in found.data}]
            for key in missing:
                plan, interval = SOLD[key]
                await self._client.v1.prices.create_async(
                    {
                        "lookup_key": key,
                        "currency": "usd",
                        "unit_amount": plan.seat_minor[interval],
                        "recurring": {"interval": interval.value},
                        "product_data": {"name": f"Sluice {plan.title}"},
                    },
                    {"idempotency_key": f"price:{key}"},
                )
        return missing

    async def _price(self, plan: Plan, interval: Interval) -> str:
        key = plan.lookup_key(interval)
        found = await self._client.v1.prices.list_async({"lookup_keys": [key], "active": True})
        if not found.data:
            raise RefusedByStripe(f"Stripe has no price {key}. An operator runs `./sluice billing setup`.")
        return found.data[0].id


@contextmanager
def _explained() -> Iterator[None]:
    """Stripe's errors as answers: what is wrong with the request, or that it does not answer."""
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise RefusedByStripe(f"Stripe says: {error.user_message or error}") from error
    except stripe.StripeError as error:
        raise BillingUnavailable from error


def seen_subscription(found: Mapping[str, Any], looked_at: datetime) -> SeenSubscription:
    """Stripe's object as our fields.

    Raises:
        UnknownPrice: it is for something that the catalogue does not have.
    """
    item = found["items"]["data"][0]
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
        "looked_at": looked_at,
    }
    reason = (found.get("cancellation_details") or {}).get("reason")
    return SeenSubscription(fields, _id(found["customer"]), reason)


def seen_invoice(found: Mapping[str, Any], looked_at: datetime) -> SeenInvoice:
    """Stripe's object as our fields."""
    lines = [_line(line) for line in found["lines"]["data"]]
    parent = (found.get("parent") or {}).get("subscription_details") or {}
    fields = {
        "provider_invoice_id": found["id"],
        "number": found.get("number"),
        "status": found["status"] or "draft",
        "total_minor": found["total"],
        "tax_minor": sum(tax["amount"] for tax in found.get("total_taxes") or ()),
        "paid_minor": found["amount_paid"],
        "currency": found["currency"].upper(),
        "seats": sum(line["quantity"] for line in lines if not line["is_proration"]),
        "payment_attempts": found.get("attempt_count") or 0,
        "issued_at": _instant(found["created"]),
        "page_url": found.get("hosted_invoice_url"),
        "pdf_url": found.get("invoice_pdf"),
        "lines": {"items": lines},
        "looked_at": looked_at,
    }
    subscription_id = parent.get("subscription")
    return SeenInvoice(fields, _id(found["customer"]), _id(subscription_id) if subscription_id else None)


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    details = (line.get("parent") or {}).get("subscription_item_details") or {}
    return {
        "description": line.get("description") or "",
        "quantity": line.get("quantity") or 0,
        "amount_minor": line["amount"],
        "is_proration": bool(details.get("proration")),
        "starts_at": _iso(line["period"]["start"]),
        "ends_at": _iso(line["period"]["end"]),
    }


def _id(reference: str | Mapping[str, Any]) -> str:
    return reference if isinstance(reference, str) else str(reference["id"])


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
