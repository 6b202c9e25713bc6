"""What programs make without a page: customers with a card of Stripe's tests, and their subscriptions."""

from tests.stripe_server.account import Object, RefusedError, StripeAccount
from tests.stripe_server.one_off import put_card

#: Cards that Stripe's tests attach, and which of them are refused when they are charged.
_CARDS = {"pm_card_visa": False, "pm_card_chargeCustomerFail": True}


def make_customer(account: StripeAccount, fields: Object) -> Object:
    """A customer, with a card perhaps."""
    known = {name: fields[name] for name in ("name", "email", "description", "metadata") if name in fields}
    made = account.make_customer(known)
    if "payment_method" in fields:
        attach(account, {"customer": made["id"]}, fields["payment_method"])
    return made


def attach(account: StripeAccount, fields: Object, card: str) -> Object:
    """One of the cards of Stripe's tests becomes a customer's."""
    if card not in _CARDS:
        raise RefusedError(f"No such PaymentMethod: '{card}'", "payment_method", status=404)
    customer = account.find(fields["customer"], "customer")["id"]
    if _CARDS[card]:
        account.refused.add(customer)
    return put_card(account, customer)


def update_customer(account: StripeAccount, fields: Object, customer: str) -> Object:
    """Name, address of mail, and the like."""
    found = account.find(customer, "customer")
    found |= {name: fields[name] for name in ("name", "email", "description") if name in fields}
    account.emit("customer.updated", found)
    return found


def subscribe(account: StripeAccount, fields: Object) -> Object:
    """A subscription to one price, as an operator makes one."""
    line, *metered = fields["items"]
    customer = account.find(fields["customer"], "customer")["id"]
    trial = int(fields.get("trial_period_days", 0))
    quantity = int(line.get("quantity", 1))
    return account.subscribe(customer, line["price"], quantity, trial, [one["price"] for one in metered])


#: Beginnings of values that are taken, of some types.
_TAX_IDS = {"eu_vat": "DE", "gb_vat": "GB", "us_ein": "12-"}


def add_tax_id(account: StripeAccount, fields: Object, customer: str) -> Object:
    """A number by which tax offices know a customer."""
    kind, value = fields["type"], fields["value"]
    if kind not in _TAX_IDS:
        raise RefusedError(f"Invalid type: must be one of {', '.join(_TAX_IDS)}", "type")
    if not value.startswith(_TAX_IDS[kind]):
        raise RefusedError(f"Invalid value for {kind}.", "value", code="tax_id_invalid")
    made = account.make("txi", "tax_id", type=kind, value=value, country=value[:2], customer=customer)
    checked = {"status": "pending", "verified_name": None, "verified_address": None}
    made |= {"verification": checked if kind == "eu_vat" else None, "owner": None}
    account.objects[made["id"]] = made
    return made


def delete_tax_id(account: StripeAccount, tax_id: str) -> Object:
    """It is gone."""
    del account.objects[account.find(tax_id, "tax_id")["id"]]
    return {"id": tax_id, "object": "tax_id", "deleted": True}
