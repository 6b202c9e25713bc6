"""Invoices of single things: made, given lines, finalized, paid by a card on file, voided, credited."""

from typing import Any

from tests.stripe_server.account import Object, RefusedError, StripeAccount


def put_card(account: StripeAccount, customer: str) -> Object:
    """A card on file, as a checkout leaves one."""
    card = {
        "brand": "visa", "checks": None, "country": "US", "display_brand": "visa", "exp_month": 8, "exp_year": 2030,
        "fingerprint": "f", "funding": "credit", "generated_from": None, "last4": "4242", "networks": None,
        "three_d_secure_usage": {"supported": True}, "wallet": None, "regulated_status": None,
    }  # fmt: skip
    person = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return account.make(
        "pm", "payment_method", type="card", card=card, billing_details=person, customer=customer, metadata={},
        allow_redisplay="unspecified",
    )  # fmt: skip


def make_invoice(account: StripeAccount, fields: Object) -> Object:
    """A draft: of what the customer was to be billed for, or without lines."""
    customer = account.find(fields["customer"], "customer")
    made = account.invoice(customer["id"], fields.get("currency", "usd"), [], parent=None)
    made |= {"metadata": fields.get("metadata", {}), "description": fields.get("description")}
    account.objects[made["id"]] = made
    account.emit("invoice.created", made)
    if fields.get("pending_invoice_items_behavior") == "include":
        items = account.all("invoiceitem")
        for item in [one for one in items if one["invoice"] is None and one["customer"] == customer["id"]]:
            _add(made, item)
    return made


def make_item(account: StripeAccount, fields: Object) -> Object:
    """A line of a draft, or of the customer's next invoice."""
    period = {"start": account.now, "end": account.now}
    made = account.make(
        "ii", "invoiceitem", amount=int(fields["amount"]), currency=fields["currency"], customer=fields["customer"],
        date=account.now, description=fields.get("description"), discountable=True, discounts=[], invoice=None,
        metadata={}, parent=None, period=period, pricing=None, proration=False, quantity=1, quantity_decimal="1",
        tax_rates=[],
    )  # fmt: skip
    if "invoice" in fields:
        invoice = account.find(fields["invoice"], "invoice")
        if invoice["status"] != "draft":
            raise RefusedError("Only drafts can be changed.", "invoice")
        _add(invoice, made)
    return made


def _add(invoice: Object, item: Object) -> None:
    item["invoice"] = invoice["id"]
    details = {"invoice_item": item["id"], "proration": False, "proration_details": None, "subscription": None}
    parent = {"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None}
    copied = ("amount", "currency", "period", "quantity", "quantity_decimal", "description")
    line = {name: item[name] for name in copied} | {"subtotal": item["amount"], "parent": parent}
    line |= {"id": item["id"].replace("ii_", "il_"), "object": "line_item", "livemode": False, "metadata": {}}
    invoice["lines"]["data"].append(line | {"discountable": True, "discounts": []})
    for name in ("subtotal", "total", "amount_due", "amount_remaining"):
        invoice[name] += item["amount"]


def finalize(account: StripeAccount, invoice_id: str, _: Object) -> Object:
    """It is open from then on, or paid where nothing is due."""
    invoice = account.find(invoice_id, "invoice")
    if invoice["status"] != "draft":
        raise RefusedError("This invoice is already finalized.")
    account.number(invoice)
    return invoice


def pay(account: StripeAccount, invoice_id: str, fields: Object) -> Object:
    """Paid, or the card is refused."""
    invoice = account.find(invoice_id, "invoice")
    if invoice["status"] == "draft":
        account.number(invoice)
    if invoice["status"] == "paid":
        raise RefusedError("Invoice is already paid")
    if invoice["status"] != "open":
        raise RefusedError("Only open invoices can be paid.")
    if "payment_method" in fields:
        account.find(fields["payment_method"], "payment_method")
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
    if invoice["customer"] in account.refused:
        account.emit("invoice.payment_failed", invoice)
        raise RefusedError("Your card was declined.", status=402, kind="card_error")
    account.settle(invoice)
    return invoice


def void(account: StripeAccount, invoice_id: str, _: Object) -> Object:
    """Nothing is owed for it any more."""
    invoice = account.find(invoice_id, "invoice")
    if invoice["status"] not in ("open", "uncollectible"):
        raise RefusedError("Only open invoices can be voided.")
    invoice.update(status="void", amount_due=0, amount_remaining=0)
    account.emit("invoice.voided", invoice)
    return invoice


def delete(account: StripeAccount, invoice_id: str) -> Object:
    """A draft is gone."""
    invoice = account.find(invoice_id, "invoice")
    if invoice["status"] != "draft":
        raise RefusedError("Only drafts can be deleted.")
    account.emit("invoice.deleted", account.objects.pop(invoice_id))
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def credit(account: StripeAccount, fields: Object) -> Object:
    """Money back for a paid invoice."""
    invoice = account.find(fields["invoice"], "invoice")
    amount, refund = int(fields["amount"]), int(fields["refund_amount"])
    given = invoice["post_payment_credit_notes_amount"]
    if invoice["status"] != "paid" or given + amount > invoice["total"] or refund > invoice["amount_paid"] - given:
        raise RefusedError("The sum of credit amount, refund amount and out of band amount is too large.", "amount")
    invoice["post_payment_credit_notes_amount"] = given + amount
    made = account.make("cn", "credit_note", invoice=invoice["id"], customer=invoice["customer"])
    totals: dict[str, Any] = dict.fromkeys(("amount", "subtotal", "total", "post_payment_amount"), amount)
    made |= totals | dict.fromkeys(("amount_shipping", "discount_amount", "pre_payment_amount"), 0)
    made |= {
        "currency": invoice["currency"], "discount_amounts": [], "metadata": {}, "memo": None, "type": "post_payment",
        "number": f"{invoice['number']}-CN-01", "pdf": f"https://pay.stripe.test/{made['id']}", "refunds": [],
        "pretax_credit_amounts": [], "reason": None, "status": "issued", "customer_balance_transaction": None,
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/credit_notes/{made['id']}/lines"},
    }  # fmt: skip
    account.objects[made["id"]] = made
    account.emit("credit_note.created", made)
    return made
