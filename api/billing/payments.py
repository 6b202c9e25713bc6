"""Payments for single things, as an account that is bought or rented: an invoice each, paid by the card on file.

A payment is known by its caller's key, which the invoice carries at Stripe: asked for again, after a lost answer or a
crash, it is found there and brought to its end, however much later. A saga charges, does what is paid for, and refunds
where that fails.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import stripe

from api.billing import records
from api.billing.customers import as_stripe, customer_of
from api.billing.provider import Provider, RefusedByStripe
from api.kernel.database import Database
from api.kernel.errors import CrmError
from contracts.settings import BillingSettings

#: By what an invoice's metadata name the payment.
_KEY = "sluice_payment"


class PaymentDeclined(CrmError):
    """The card was refused, or there is none; nothing is owed."""

    status, code, title = 402, "payment_declined", "The payment was declined"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why} An owner or admin can see to the card on the page Plan and seats, or by POST /v1/billing/portal."
        )


@dataclass(frozen=True)
class Payment:
    """What was paid. `payment_id` is by what it can be refunded; None where billing is off, and nothing is charged."""

    payment_id: str | None
    amount_minor: int
    currency: str
    page_url: str | None = None


class Payments:
    """Charges and refunds. Nothing of it may be called inside a transaction."""

    def __init__(self, database: Database, settings: BillingSettings) -> None:
        self._database, self._settings = database, settings

    async def charge(self, organization_id: UUID, *, key: str, amount_minor: int, currency: str, what: str) -> Payment:
        """Have the organization pay; the same key is the same payment for ever.

        Raises:
            PaymentDeclined: the card was refused, or there is none.
            BillingUnavailable: whether it was paid is not known; the same call again finds out.
            RefusedByStripe: the request is wrong, or the key paid for something else.
        """
        if not self._settings.is_billing_on:
            return Payment(None, amount_minor, currency)
        async with Provider(self._settings) as provider:
            async with as_stripe(self._database, organization_id) as unit:
                standing = await records.read_standing(unit)
            customer_id = await customer_of(self._database, provider, organization_id, standing)
            invoice = await _Invoicing(provider, customer_id, f"{organization_id}:{key}").paid(
                amount_minor, currency.lower(), what
            )
        return Payment(str(invoice.id), amount_minor, currency, invoice.hosted_invoice_url)

    async def refund(self, organization_id: UUID, payment_id: str | None, *, key: str) -> None:
        """Give all of it back; what was not paid, or given back before, stays as it is.

        Where nobody noted the payment, as one whose answer was lost, it is looked for by its key.

        Raises:
            BillingUnavailable: whether it was done is not known; the same call again finds out.
        """
        if payment_id is None and not self._settings.is_billing_on:
            return
        async with Provider(self._settings) as provider:
            invoice = await self._paid(provider, organization_id, payment_id, key)
            if invoice is None:
                return
            if invoice.status != "paid":
                await _call_off(provider, invoice)
            elif not invoice.post_payment_credit_notes_amount:
                with provider.asking():
                    await provider.client.v1.credit_notes.create_async(
                        {"invoice": str(invoice.id), "amount": invoice.total, "refund_amount": invoice.amount_paid},
                        {"idempotency_key": f"refund:{organization_id}:{key}"},
                    )

    async def _paid(
        self, provider: Provider, organization_id: UUID, payment_id: str | None, key: str
    ) -> stripe.Invoice | None:
        if payment_id is not None:
            with provider.asking():
                return await provider.client.v1.invoices.retrieve_async(payment_id)
        async with as_stripe(self._database, organization_id) as unit:
            standing = await records.read_standing(unit)
        if standing.customer_id is None:
            return None
        return await _Invoicing(provider, standing.customer_id, f"{organization_id}:{key}").found()


@dataclass(frozen=True)
class _Invoicing:
    """The way of one payment: found or made, given its line, finalized, paid."""

    provider: Provider
    customer_id: str
    key: str

    async def paid(self, amount_minor: int, currency: str, what: str) -> stripe.Invoice:
        invoice = await self.found() or await self._made(currency, what)
        if invoice.status == "draft" and not invoice.lines.data:
            invoice = await self._with_line(invoice, amount_minor, what)
        if (invoice.subtotal, invoice.currency) != (amount_minor, currency):
            raise RefusedByStripe("This key stands for another payment, of another amount.")
        if invoice.status == "draft":
            with self.provider.asking():
                invoice = await self.provider.client.v1.invoices.finalize_invoice_async(
                    str(invoice.id), {"auto_advance": False}, self._attempt("finalize")
                )
        if invoice.status == "open":
            invoice = await self._pay(invoice)
        if invoice.status != "paid":
            raise PaymentDeclined("The payment was declined before.")
        return invoice

    async def found(self) -> stripe.Invoice | None:
        """The payment's invoice, if it was made."""
        with self.provider.asking():
            page = await self.provider.client.v1.invoices.list_async({"customer": self.customer_id, "limit": 100})
            async for one in page.auto_paging_iter():
                if one.metadata is not None and one.metadata.to_dict().get(_KEY) == self.key:
                    return one
        return None

    async def _made(self, currency: str, what: str) -> stripe.Invoice:
        with self.provider.asking():
            return await self.provider.client.v1.invoices.create_async(
                {
                    "customer": self.customer_id,
                    "currency": currency,
                    "description": what,
                    "collection_method": "charge_automatically",
                    "auto_advance": False,
                    "pending_invoice_items_behavior": "exclude",
                    "metadata": {_KEY: self.key},
                },
                self._attempt("invoice"),
            )

    async def _with_line(self, invoice: stripe.Invoice, amount_minor: int, what: str) -> stripe.Invoice:
        line: Any = {"customer": self.customer_id, "invoice": str(invoice.id), "description": what}
        line |= {"amount": amount_minor, "currency": invoice.currency}
        with self.provider.asking():
            await self.provider.client.v1.invoice_items.create_async(line, self._attempt("line"))
            return await self.provider.client.v1.invoices.retrieve_async(str(invoice.id))

    async def _pay(self, invoice: stripe.Invoice) -> stripe.Invoice:
        with self.provider.asking():
            cards = await self.provider.client.v1.customers.payment_methods.list_async(self.customer_id, {"limit": 1})
        if not cards.data:
            await _call_off(self.provider, invoice)
            raise PaymentDeclined("There is no card to pay with.")
        try:
            with self.provider.asking():
                return await self.provider.client.v1.invoices.pay_async(
                    str(invoice.id), {"payment_method": cards.data[0].id, "off_session": True}, self._attempt("pay")
                )
        except RefusedByStripe as error:
            with self.provider.asking():
                invoice = await self.provider.client.v1.invoices.retrieve_async(str(invoice.id))
            if invoice.status == "paid":  # on its page, meanwhile
                return invoice
            await _call_off(self.provider, invoice)  # whatever the reason, nobody pays later for what they do not get
            if not isinstance(error.__cause__, stripe.CardError):
                raise
            raise PaymentDeclined(error.detail) from error

    def _attempt(self, step: str) -> Any:  # noqa: ANN401 # the library's type is private
        return {"idempotency_key": f"payment:{self.key}:{step}"}


async def _call_off(provider: Provider, invoice: stripe.Invoice) -> None:
    """Nothing is owed for an invoice that was not paid."""
    with provider.asking():
        if invoice.status == "draft":
            await provider.client.v1.invoices.delete_async(str(invoice.id))
        elif invoice.status == "open":
            await provider.client.v1.invoices.void_invoice_async(str(invoice.id))
