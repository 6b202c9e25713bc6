"""Lines of invoices: seats for a period, corrections of a running one, and what was used."""

import itertools
from typing import Any

Object = dict[str, Any]

_DAY = 86_400
#: Seconds of a period; a test's months are all as long.
PERIODS = {"month": 30 * _DAY, "year": 365 * _DAY}
_numbers = itertools.count(1)


def part(amount: int, left: int, whole: int) -> int:
    """The share of an amount for the rest of a period, rounded half away from zero."""
    size = (2 * abs(amount) * left + whole) // (2 * whole)
    return size if amount >= 0 else -size


def proration(subscription: Object, item: Object, price: Object, quantity: int, now: int) -> list[Object]:
    """What another price or quantity costs for the rest of the period, and what it gives back."""
    if subscription["status"] == "trialing" or (price["id"], quantity) == (item["price"]["id"], item["quantity"]):
        return []
    start, end = item["current_period_start"], item["current_period_end"]
    left = end - now
    old, new = item["price"]["unit_amount"] * item["quantity"], price["unit_amount"] * quantity
    period = {"start": now, "end": end}
    shares = ((-old, item["price"], item["quantity"]), (new, price, quantity))
    return [
        row(subscription, item, of, count, part(amount, left, end - start), period, is_proration=True)
        for amount, of, count in shares
    ]


def whole(subscription: Object, item: Object, price: Object, quantity: int, start: int) -> Object:
    """Seats for a whole period."""
    period = {"start": start, "end": start + PERIODS[price["recurring"]["interval"]]}
    return row(subscription, item, price, quantity, price["unit_amount"] * quantity, period)


def row(
    subscription: Object, item: Object, price: Object, quantity: int, amount: int, period: Object,
    *, is_proration: bool = False,
) -> Object:  # fmt: skip
    """A line."""
    details = {"invoice_item": None, "proration": is_proration, "proration_details": None}
    details |= {"subscription": subscription["id"], "subscription_item": item["id"]}
    return {
        "id": f"il_{next(_numbers):06d}", "object": "line_item", "livemode": False, "amount": amount,
        "subtotal": amount, "currency": price["currency"], "discountable": not is_proration, "discounts": [],
        "metadata": {}, "period": period, "quantity": quantity,
        "description": f"{quantity} {'of use' if price['recurring']['meter'] else 'seats'}",
        "pricing": {
            "type": "price_details", "unit_amount_decimal": str(price["unit_amount"]),
            "price_details": {"price": price["id"], "product": price["product"]},
        },
        "parent": {
            "type": "subscription_item_details", "invoice_item_details": None, "subscription_item_details": details,
        },
    }  # fmt: skip
