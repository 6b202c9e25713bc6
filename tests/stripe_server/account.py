"""The state of a test account at Stripe: objects as Stripe shows them, and what time does to them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.stripe_server.lines import PERIODS as PERIODS
from tests.stripe_server.lines import Object as Object
from tests.stripe_server.lines import part, proration, row, whole

_DAY = 86_400
_NEVER = 2**40
_NO_TAX: Object = {"enabled": False, "liability": None, "provider": None, "status": None}
#: How often a payment is tried again, once a day, before the subscription is cancelled.
_MOST_ATTEMPTS = 4


class RefusedError(Exception):
    """What Stripe answers with status 400, 402 or 404."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.kind, self.code = param, status, kind, code


@dataclass
class StripeAccount:
    """An account. `now` stands still until `advance` moves it; `tell` is called with each event."""

    now: int = 1_767_225_600
    #: Part of each id: accounts have no object in common.
    name: str = field(default_factory=lambda: uuid4().hex[:8])
    objects: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    #: Customers whose card is refused.
    refused: set[str] = field(default_factory=set)
    #: By how many percent a customer's coupon makes their subscriptions cheaper, and what tax they pay then.
    coupons: dict[str, int] = field(default_factory=dict)
    taxes: dict[str, int] = field(default_factory=dict)
    tell: Callable[[Object], None] | None = None
    #: Of each report to a meter, whose it is, which meter's, when it was used by this account's clock, and how much.
    used: list[tuple[str, str, int, int]] = field(default_factory=list)
    #: Stripe knows identifiers of reports for a day.
    knows_identifiers: bool = True

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[str, list[Object]] = {}

    def make(self, prefix: str, kind: str, **fields: Any) -> Object:
        """A new object."""
        identifier = f"{prefix}_{self.name}{next(self._numbers):06d}"
        made: Object = {"id": identifier, "object": kind, "created": self.now, "livemode": False}
        self.objects[identifier] = made | fields
        return self.objects[identifier]

    def all(self, kind: str) -> list[Object]:
        """All objects of a kind, newest first."""
        return [one for one in reversed(self.objects.values()) if one["object"] == kind]

    def find(self, identifier: str, kind: str) -> Object:
        """One of them."""
        found = self.objects.get(identifier)
        if found is None or found["object"] != kind:
            raise RefusedError(f"No such {kind}: '{identifier}'", "id", status=404)
        return found

    def emit(self, kind: str, about: Object) -> None:
        """Something happened."""
        data = {"object": _copy(about)}
        event = self.make("evt", "event", type=kind, data=data, pending_webhooks=1, api_version="2026-10-28.endive")
        self.events.append(event)
        if self.tell is not None:
            self.tell(event)

    # what people and programs do

    def make_customer(self, fields: Object) -> Object:
        made = self.make("cus", "customer", name=None, email=None, metadata={})
        made.update(fields)
        self.emit("customer.created", made)
        return made

    def make_product(self, fields: Object) -> Object:
        made = self.make("prod", "product", name=fields["name"], description=fields.get("description"), active=True)
        made |= {"images": [], "marketing_features": [], "metadata": {}, "updated": self.now}
        self.objects[made["id"]] = made
        self.emit("product.created", made)
        return made

    def make_price(self, fields: Object) -> Object:
        product = fields["product"] if "product" in fields else self.make_product(fields["product_data"])["id"]
        recurring = {"interval_count": 1, "usage_type": "licensed", "meter": None} | fields["recurring"]
        return self.make(
            "price", "price", active=True, billing_scheme="per_unit", currency=fields["currency"], metadata={},
            product=product, type="recurring", lookup_key=fields.get("lookup_key"),
            recurring=recurring | {"trial_period_days": None}, unit_amount=int(fields["unit_amount"]),
        )  # fmt: skip

    def make_checkout(self, fields: Object) -> Object:
        made = self.make(
            "cs_test", "checkout.session", mode="subscription", customer=fields["customer"], status="open",
            payment_status="unpaid", automatic_tax=dict(_NO_TAX),
            custom_fields=[], custom_text=dict.fromkeys(
                ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
            ), expires_at=self.now + _DAY, payment_method_types=["card"], shipping_options=[], subscription=None,
        )  # fmt: skip
        made["url"] = f"https://checkout.stripe.test/{made['id']}"
        self._wanted = getattr(self, "_wanted", {}) | {made["id"]: fields}
        return made

    def pay_checkout(self, session_id: str) -> Object:
        """What a person does on the page of a checkout: pay. Answers the subscription."""
        session, wanted = self.find(session_id, "checkout.session"), self._wanted[session_id]
        line, *metered = wanted["line_items"]
        trial = int(wanted.get("subscription_data", {}).get("trial_period_days", 0))
        made = self.subscribe(
            session["customer"], line["price"], int(line["quantity"]), trial, [one["price"] for one in metered]
        )
        session.update(status="complete", payment_status="no_payment_required" if trial else "paid")
        session["subscription"] = made["id"]
        self.emit("checkout.session.completed", session)
        return made

    def change(self, subscription_id: str, fields: Object) -> Object:
        """Another price, quantity or end. What is left of the period is credited and charged to the second."""
        subscription = self.find(subscription_id, "subscription")
        if subscription["status"] == "canceled":
            raise RefusedError("A canceled subscription can only update its cancellation_details and metadata.")
        item = subscription["items"]["data"][0]
        for wanted in fields.get("items", []):
            if "id" not in wanted:
                self._add_metered(subscription, wanted["price"])
                continue
            if wanted.get("deleted") == "true":
                self._drop_metered(subscription, wanted["id"])
                continue
            if wanted["id"] != item["id"]:
                raise RefusedError(f"No such subscription item: '{wanted['id']}'", "items[0][id]")
            price = self.find(wanted["price"], "price") if "price" in wanted else item["price"]
            quantity = int(wanted.get("quantity", item["quantity"]))
            self._prorate(subscription, item, price, quantity)
            item.update(price=price, quantity=quantity)
        if "cancel_at_period_end" in fields:
            ends = fields["cancel_at_period_end"] == "true"
            subscription["cancel_at_period_end"] = ends
            subscription["cancel_at"] = item["current_period_end"] if ends else None
        self.emit("customer.subscription.updated", subscription)
        return subscription

    def cancel(self, subscription_id: str, reason: str = "cancellation_requested") -> Object:
        subscription = self.find(subscription_id, "subscription")
        subscription.update(status="canceled", canceled_at=self.now, ended_at=self.now)
        subscription["cancellation_details"] = {"comment": None, "feedback": None, "reason": reason}
        self.emit("customer.subscription.deleted", subscription)
        return subscription

    def preview(self, fields: Object) -> Object:
        """The next invoice, had a change been made."""
        subscription = self.find(fields["subscription"], "subscription")
        item, *metered = subscription["items"]["data"]
        [wanted] = fields["subscription_details"]["items"]
        price, quantity = self.find(wanted["price"], "price"), int(wanted["quantity"])
        lines = [*self._pending.get(subscription["id"], []), *proration(subscription, item, price, quantity, self.now)]
        lines.append(whole(subscription, item, price, quantity, item["current_period_end"]))
        lines += [self._used(subscription, one) for one in metered]
        invoice = self._invoice(subscription, lines)
        del self.objects[invoice["id"]]
        return invoice | {"id": f"upcoming_{invoice['id']}"}

    def advance(self, seconds: int) -> None:
        """Let time pass: trials end, periods are renewed, payments are tried again."""
        until = self.now + seconds
        while True:
            due = [(at, one) for one in self.all("subscription") if (at := self._due(one)) is not None and at <= until]
            if not due:
                break
            at, subscription = min(due, key=lambda one: (one[0], one[1]["id"]))
            self.now = max(self.now, at)
            self._act(subscription)
        self.now = until

    # what follows

    def subscribe(
        self, customer: str, price_id: str, quantity: int, trial_days: int = 0, metered: Sequence[str] = ()
    ) -> Object:
        """A subscription from now on; without a trial it is billed at once."""
        price = self.find(price_id, "price")
        made = self.make(
            "sub", "subscription", customer=customer, status="trialing" if trial_days else "active",
            automatic_tax={"enabled": False, "disabled_reason": None, "liability": None},
            billing_cycle_anchor=self.now, billing_mode={"type": "flexible"}, billing_schedules=[],
            cancel_at_period_end=False, cancel_at=None, canceled_at=None, ended_at=None, cancellation_details=None,
            collection_method="charge_automatically", currency=price["currency"], discounts=[], metadata={},
            invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}}, start_date=self.now,
            trial_end=self.now + trial_days * _DAY if trial_days else None, latest_invoice=None,
        )  # fmt: skip
        length = trial_days * _DAY or PERIODS[price["recurring"]["interval"]]
        item = self.make(
            "si", "subscription_item", current_period_start=self.now, current_period_end=self.now + length,
            discounts=[], metadata={}, price=price, quantity=quantity, subscription=made["id"],
        )  # fmt: skip
        made["items"] = {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"}
        for one in metered:
            self._add_metered(made, one, length=trial_days * _DAY)
        self.emit("customer.subscription.created", made)
        if not trial_days:
            self._bill(made, [whole(made, item, price, quantity, self.now)])
        return made

    def _due(self, subscription: Object) -> int | None:
        """When time does something to a subscription."""
        if subscription["status"] == "canceled":
            return None
        instants: list[int] = [item["current_period_end"] for item in subscription["items"]["data"]]
        instants += [one["next_payment_attempt"] for one in self._unpaid(subscription)]
        return min(*instants, _NEVER)

    def _unpaid(self, subscription: Object) -> list[Object]:
        due = [one for one in self.all("invoice") if one["next_payment_attempt"] is not None]
        return [one for one in due if one["parent"]["subscription_details"]["subscription"] == subscription["id"]]

    def _act(self, subscription: Object) -> None:
        for invoice in self._unpaid(subscription):
            if invoice["next_payment_attempt"] <= self.now:
                self._pay(subscription, invoice)
                return
        seats, *metered = subscription["items"]["data"]
        is_over = subscription["cancel_at_period_end"] and seats["current_period_end"] <= self.now
        due = [item for item in (seats, *metered) if item["current_period_end"] <= self.now or is_over]
        lines = [] if subscription["status"] == "trialing" else [self._used(subscription, one) for one in due[1:]]
        if seats not in due:
            lines = [self._used(subscription, one) for one in due]
        lines = [line for line in lines if not is_over or line["quantity"]]
        if is_over:
            if lines:
                self._bill(subscription, [*self._pending.pop(subscription["id"], []), *lines])
            self.cancel(subscription["id"])
            return
        for item in due:
            start = item["current_period_end"]
            length = PERIODS[item["price"]["recurring"]["interval"]]
            item.update(current_period_start=start, current_period_end=start + length)
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        self.emit("customer.subscription.updated", subscription)
        if seats in due:
            start = seats["current_period_start"]
            lines.insert(0, whole(subscription, seats, seats["price"], seats["quantity"], start))
        self._bill(subscription, [*self._pending.pop(subscription["id"], []), *lines])

    def _bill(self, subscription: Object, lines: list[Object]) -> None:
        invoice = self._invoice(subscription, lines)
        subscription["latest_invoice"] = invoice["id"]
        self._reckon(invoice)
        self.emit("invoice.created", invoice)
        self.number(invoice)
        invoice["auto_advance"] = True
        self._pay(subscription, invoice)

    def _reckon(self, invoice: Object) -> None:
        """Take off what a coupon takes off, and add the tax."""
        customer, total = invoice["customer"], invoice["subtotal"]
        if percent := self.coupons.get(customer):
            off = part(total, percent, 100)
            invoice["total_discount_amounts"] = [{"amount": off, "discount": "di_1"}]
            total -= off
        if percent := self.taxes.get(customer):
            tax = part(total, percent, 100)
            invoice["total_taxes"] = [
                {
                    "amount": tax, "tax_behavior": "exclusive", "tax_rate_details": None, "taxable_amount": total,
                    "taxability_reason": "standard_rated", "type": "tax_rate_details",
                }
            ]  # fmt: skip
            total += tax
        invoice.update(total=total, amount_due=max(total, 0), amount_remaining=max(total, 0))

    def number(self, invoice: Object) -> None:
        """Finalize it: it has its number from then on."""
        invoice.update(status="open", number=f"T-{len(self.all('invoice')):04d}")
        self.emit("invoice.finalized", invoice)

    def settle(self, invoice: Object) -> None:
        """It is paid."""
        invoice.update(status="paid", amount_paid=invoice["amount_due"], amount_remaining=0, next_payment_attempt=None)
        self.emit("invoice.paid", invoice)

    def _pay(self, subscription: Object, invoice: Object) -> None:
        invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
        if invoice["amount_due"] > 0 and subscription["customer"] in self.refused:
            is_last = invoice["attempt_count"] >= _MOST_ATTEMPTS
            invoice["next_payment_attempt"] = None if is_last else self.now + _DAY
            self.emit("invoice.payment_failed", invoice)
            if is_last:
                self.cancel(subscription["id"], "payment_failed")
            elif subscription["status"] != "past_due":
                subscription["status"] = "past_due"
                self.emit("customer.subscription.updated", subscription)
            return
        self.settle(invoice)
        if subscription["status"] == "past_due":
            subscription["status"] = "active"
            self.emit("customer.subscription.updated", subscription)

    def _prorate(self, subscription: Object, item: Object, price: Object, quantity: int) -> None:
        corrections = proration(subscription, item, price, quantity, self.now)
        self._pending.setdefault(subscription["id"], []).extend(corrections)

    def _add_metered(self, subscription: Object, price_id: str, length: int = 0) -> None:
        """Something that is sold by use: charged when each of its periods is over."""
        price, [seats, *_] = self.find(price_id, "price"), subscription["items"]["data"]
        is_as_long = price["recurring"]["interval"] == seats["price"]["recurring"]["interval"]
        end = self.now + (length or PERIODS[price["recurring"]["interval"]])
        item = self.make(
            "si", "subscription_item", current_period_start=self.now, discounts=[], metadata={}, price=price,
            current_period_end=seats["current_period_end"] if is_as_long else end, subscription=subscription["id"],
        )  # fmt: skip
        subscription["items"]["data"].append(item)

    def _drop_metered(self, subscription: Object, item_id: str) -> None:
        """What was used until now comes with the next invoice."""
        [item] = [one for one in subscription["items"]["data"][1:] if one["id"] == item_id]
        self._pending.setdefault(subscription["id"], []).append(self._used(subscription, item, until=self.now))
        subscription["items"]["data"].remove(item)

    def _used(self, subscription: Object, item: Object, until: int | None = None) -> Object:
        """The line for what was used in an item's period."""
        start, end = item["current_period_start"], until or item["current_period_end"]
        asked = subscription["customer"], item["price"]["recurring"]["meter"]
        used = sum(much for *whose, at, much in self.used if (*whose,) == asked and start <= at < end)
        period = {"start": start, "end": end}
        return row(subscription, item, item["price"], used, used * item["price"]["unit_amount"], period)

    def _invoice(self, subscription: Object, lines: list[Object]) -> Object:
        details = {"metadata": {}, "subscription": subscription["id"]}
        parent = {"type": "subscription_details", "quote_details": None, "subscription_details": details}
        return self.invoice(subscription["customer"], subscription["currency"], lines, parent=parent)

    def invoice(self, customer: str, currency: str, lines: list[Object], *, parent: Object | None) -> Object:
        """A draft."""
        total = sum(line["amount"] for line in lines)
        made = self.make("in", "invoice", customer=customer, currency=currency, parent=parent, metadata={})
        made.update(
            dict.fromkeys(("amount_overpaid", "amount_paid", "amount_paid_off_stripe", "amount_shipping"), 0)
            | dict.fromkeys(("post_payment_credit_notes_amount", "pre_payment_credit_notes_amount"), 0),
            status="draft", number=None, attempt_count=0, attempted=False, auto_advance=False, starting_balance=0,
            amount_due=max(total, 0), amount_remaining=max(total, 0), subtotal=total, total=total, discounts=[],
            automatic_tax={"disabled_reason": None, **_NO_TAX}, collection_method="charge_automatically",
            default_tax_rates=[], issuer={"type": "self"}, total_taxes=None, total_discount_amounts=[],
            lines={"object": "list", "data": lines, "has_more": False, "url": f"/v1/invoices/{made['id']}/lines"},
            payment_settings=dict.fromkeys(("default_mandate", "payment_method_options", "payment_method_types")),
            period_start=self.now, period_end=self.now, hosted_invoice_url=f"https://invoice.stripe.test/{made['id']}",
            status_transitions=dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            invoice_pdf=f"https://invoice.stripe.test/{made['id']}.pdf", next_payment_attempt=None,
        )  # fmt: skip
        return made


def _copy(value: Any) -> Any:
    """An object as it stands; what changes later changes no event."""
    if isinstance(value, dict):
        return {name: _copy(one) for name, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value


def pages(found: list[Object], limit: int, after: str | None) -> tuple[list[Object], bool]:
    """A page of a list, after an object; and whether there is more."""
    rest: Iterator[Object] = iter(found)
    if after is not None:
        rest = itertools.islice(itertools.dropwhile(lambda one: one["id"] != after, rest), 1, None)
    kept = list(itertools.islice(rest, limit + 1))
    return kept[:limit], len(kept) > limit
