"""Stripe, as billing uses it: calls with time-outs, retries, idempotency keys, and a circuit breaker.

None of this happens inside a transaction. `looked_at` is PostgreSQL's clock before the call: no answer is older.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import stripe

from api.billing.plans import METERED, Interval, Plan
from api.billing.rules import ENDED
from api.billing.seen import SeenInvoice, SeenSubscription, UnknownPrice, seen_invoice, seen_subscription
from api.edge.outgoing import Breaker, CircuitOpenError
from api.kernel.errors import CrmError, Unprocessable
from contracts.settings import BillingSettings

#: Of Stripe's API, by which its objects are read here; stripe-python is pinned to the release that speaks it.
API_VERSION = "2026-10-28.endive"

_SECONDS = 10
_RETRIES = 2
#: A process leaves alone what has failed five times in a row, each with its retries, for half a minute.
_BREAKER = Breaker()


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


class SeenTaxId(NamedTuple):
    """A number by which tax offices know a customer; `check` is how far Stripe is with asking them."""

    id: str
    kind: str
    value: str
    check: str | None


class Provider:
    """The account at Stripe that the settings name: `async with Provider(settings) as provider`."""

    def __init__(self, settings: BillingSettings) -> None:
        if settings.stripe_secret_key is None:
            raise BillingOff
        self._settings = settings
        self._http = stripe.HTTPXClient(timeout=_SECONDS)
        self.client = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            stripe_version=API_VERSION,
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
        with self.asking():
            customer = await self.client.v1.customers.create_async(
                {"name": name, "metadata": {"organization_id": str(organization_id)}},
                {"idempotency_key": f"customer:{organization_id}"},
            )
        return customer.id

    async def open_checkout(
        self,
        customer_id: str,
        plan: Plan,
        interval: Interval,
        seats: int,
        *,
        pays_usage: bool,
        is_first: bool,
        key: str,
    ) -> str:
        """Address of a page of Stripe's on which the plan is bought."""
        trial = self._settings.billing_trial_days if is_first else 0
        url = self._settings.billing_return_url
        # flexible: use is charged each month, also where seats are paid by the year
        bought: Any = {"billing_mode": {"type": "flexible"}} | ({"trial_period_days": trial} if trial else {})
        with self.asking():
            seat: Any = {"price": await self.price(plan.lookup_key(interval)), "quantity": seats}
            used: Any = [{"price": await self.price(sold)} for sold in METERED] if pays_usage else []
            session = await self.client.v1.checkout.sessions.create_async(
                {
                    "subscription_data": bought,
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [seat, *used],
                    "allow_promotion_codes": True,
                    "tax_id_collection": {"enabled": True},
                    "automatic_tax": {"enabled": self._settings.billing_automatic_tax},
                    "customer_update": {"name": "auto", "address": "auto"},
                    "success_url": f"{url}?bought=yes",
                    "cancel_url": url,
                },
                {"idempotency_key": f"checkout:{key}"},
            )
        return str(session.url)

    async def open_portal(self, customer_id: str) -> str:
        """Address of a page of Stripe's: cards, addresses, tax ids, invoices."""
        with self.asking():
            session = await self.client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": self._settings.billing_return_url}
            )
        return session.url

    async def tax_ids(self, customer_id: str) -> list[SeenTaxId]:
        """The tax ids that invoices bear."""
        with self.asking():
            page = await self.client.v1.customers.tax_ids.list_async(customer_id, {"limit": 100})
            return [_tax_id(one) async for one in page.auto_paging_iter()]

    async def add_tax_id(self, customer_id: str, kind: str, value: str, *, key: str) -> SeenTaxId:
        """Have invoices bear it from now on."""
        with self.asking():
            made = await self.client.v1.customers.tax_ids.create_async(
                customer_id,
                {"type": kind, "value": value},  # Stripe says which kinds there are
                {"idempotency_key": f"tax_id:{key}"},
            )
        return _tax_id(made)

    async def delete_tax_id(self, customer_id: str, tax_id: str) -> None:
        """Have invoices bear it no longer."""
        with self.asking():
            await self.client.v1.customers.tax_ids.delete_async(customer_id, tax_id)

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
        pays_usage: bool | None = None,
    ) -> SeenSubscription:
        """Change plan, seats, use or end; what is left of the period is charged or credited to the second."""
        item: dict[str, Any] = {"id": item_id}
        if price is not None:
            item["price"] = await self.price(price[0].lookup_key(price[1]))
        if seats is not None:
            item["quantity"] = seats
        parameters: dict[str, Any] = {"proration_behavior": "create_prorations"}
        if len(item) > 1:
            parameters["items"] = [item]
        if pays_usage is not None and (items := await self._items_of_use(subscription_id, pays_usage=pays_usage)):
            parameters["items"] = [*parameters.get("items", ()), *items]
            key = f"{key}:{pays_usage}"  # asked for again, when they are there, it is another request
        if cancels_at_period_end is not None:
            parameters["cancel_at_period_end"] = cancels_at_period_end
        with self.asking():
            changed = await self.client.v1.subscriptions.update_async(
                subscription_id,
                parameters,  # type: ignore[arg-type]  # built field by field
                {"idempotency_key": f"change:{key}"},
            )
        return seen_subscription(changed.to_dict(), looked_at)

    async def cancel_all(self, customer_id: str) -> int:
        """End every subscription of a customer's now; how many had not ended. None of a customer whom Stripe forgot."""
        cancelled = 0
        try:
            with self.asking():
                page = await self.client.v1.subscriptions.list_async({"customer": customer_id, "limit": 100})
                async for one in page.auto_paging_iter():
                    if one.status not in ENDED:
                        await self.client.v1.subscriptions.cancel_async(one.id)
                        cancelled += 1
        except RefusedByStripe as refused:
            if getattr(refused.__cause__, "code", None) != "resource_missing":
                raise
        return cancelled

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
        with self.asking():
            invoice = await self.client.v1.invoices.create_preview_async(
                {
                    "customer": customer_id,
                    "subscription": subscription_id,
                    "subscription_details": {
                        "items": [
                            {"id": item_id, "price": await self.price(price[0].lookup_key(price[1])), "quantity": seats}
                        ],
                        "proration_behavior": "create_prorations",
                    },
                }
            )
        return seen_invoice(invoice.to_dict(), looked_at)

    async def subscription(self, subscription_id: str, looked_at: datetime) -> SeenSubscription:
        """A subscription as it stands."""
        with self.asking():
            found = await self.client.v1.subscriptions.retrieve_async(subscription_id)
        return seen_subscription(found.to_dict(), looked_at)

    async def invoice(self, invoice_id: str, looked_at: datetime) -> SeenInvoice:
        """An invoice as it stands."""
        with self.asking():
            found = await self.client.v1.invoices.retrieve_async(invoice_id)
            return seen_invoice(found.to_dict(), looked_at, await self._lines(invoice_id))

    async def subscriptions(self, looked_at: datetime) -> AsyncIterator[SeenSubscription]:
        """All of them, ended ones too."""
        with self.asking():
            page = await self.client.v1.subscriptions.list_async({"status": "all", "limit": 100})
            async for one in page.auto_paging_iter():
                with suppress(UnknownPrice):  # another system's, at the same account
                    yield seen_subscription(one.to_dict(), looked_at)

    async def invoices(self, looked_at: datetime) -> AsyncIterator[SeenInvoice]:
        """All of them."""
        with self.asking():
            page = await self.client.v1.invoices.list_async({"limit": 100})
            async for one in page.auto_paging_iter():
                yield seen_invoice(one.to_dict(), looked_at, await self._lines(str(one.id)))

    async def report_use(self, key: str, customer_id: str, quantity: int, *, identifier: str, at: datetime) -> None:
        """Tell a meter of use. The same identifier counts once, for a day."""
        with self.asking():
            await self.client.v1.billing.meter_events.create_async(
                {
                    "event_name": key,
                    "identifier": identifier,
                    "timestamp": int(at.timestamp()),
                    "payload": {"stripe_customer_id": customer_id, "value": str(quantity)},
                },
                {"idempotency_key": f"usage:{identifier}:{int(at.timestamp())}"},
            )

    async def sum_of_use(self, key: str, customer_id: str, since: datetime, until: datetime) -> int:
        """What a meter has of a customer between two full hours; nothing where it is not set up."""
        with self.asking():
            page = await self.client.v1.billing.meters.list_async({"status": "active", "limit": 100})
            meters = [one.id async for one in page.auto_paging_iter() if one.event_name == key]
            if not meters:
                return 0
            sums = await self.client.v1.billing.meters.event_summaries.list_async(
                meters[0],
                {"customer": customer_id, "start_time": int(since.timestamp()), "end_time": int(until.timestamp())},
            )
        return int(sum(one.aggregated_value for one in sums.data))

    async def _items_of_use(self, subscription_id: str, *, pays_usage: bool) -> list[dict[str, Any]]:
        """What adds the items of what is sold by use to a subscription, those it lacks, or takes them off."""
        with self.asking():
            found = (await self.client.v1.subscriptions.retrieve_async(subscription_id)).to_dict()
        there = {one["price"]["lookup_key"]: one["id"] for one in found["items"]["data"]}
        if pays_usage:
            return [{"price": await self.price(key)} for key in METERED if key not in there]
        return [{"id": there[key], "deleted": True} for key in METERED if key in there]

    async def _lines(self, invoice_id: str) -> list[dict[str, Any]]:
        """All lines of an invoice, with their prices."""
        page = await self.client.v1.invoices.line_items.list_async(
            invoice_id, {"limit": 100, "expand": ["data.pricing.price_details.price"]}
        )
        return [line.to_dict() async for line in page.auto_paging_iter()]

    async def price(self, key: str) -> str:
        """Stripe's id of what costs so: a seat of a plan, or something that is sold by use.

        Raises:
            RefusedByStripe: nobody has set it up.
        """
        with self.asking():
            found = await self.client.v1.prices.list_async({"lookup_keys": [key], "active": True})
        if not found.data:
            raise RefusedByStripe(f"Stripe has no price {key}. An operator runs `./sluice billing setup`.")
        return found.data[0].id

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around each call: Stripe's errors as answers, and no call while it keeps failing.

        Raises:
            RefusedByStripe: something is wrong with the request; the error that says so is its cause.
            BillingUnavailable: it does not answer.
        """
        place = self._settings.stripe_api_url
        try:
            _BREAKER.check(place)
            yield
        except (stripe.InvalidRequestError, stripe.CardError) as error:
            _BREAKER.succeeded(place)
            raise RefusedByStripe(f"Stripe says: {error.user_message or error}") from error
        except stripe.StripeError as error:
            _BREAKER.failed(place)
            raise BillingUnavailable from error
        except CircuitOpenError as error:
            raise BillingUnavailable from error
        _BREAKER.succeeded(place)


def _tax_id(found: stripe.TaxId) -> SeenTaxId:
    return SeenTaxId(found.id, found.type, found.value, found.verification.status if found.verification else None)
