"""The test server's answers are of the shape that Stripe's own document gives."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.stripe_server.account import Object, StripeAccount
from tests.stripe_server.meters import make_meter, report
from tests.stripe_server.one_off import credit, make_invoice, make_item, pay, put_card

SPEC = Path(__file__).parents[2].parent / "shared" / "specs" / "stripe-2026-05-27.openapi.json.gz"


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    if not SPEC.exists():
        pytest.skip(f"{SPEC} is absent: Stripe's OpenAPI document is not part of this project")
    with gzip.open(SPEC) as file:
        found: dict[str, Any] = _translated(json.load(file)["components"]["schemas"])
        return found


def _translated(value: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: what is nullable may be null."""
    if isinstance(value, list):
        return [_translated(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _translated(one) for name, one in value.items() if name != "nullable"}
    if value.get("nullable") is not True:
        return inner
    return {"anyOf": [{"type": "null"}, inner]}


def _life() -> Iterator[Object]:
    """Objects of every kind that the server makes, after a life of their own."""
    account = StripeAccount()
    customer = account.make_customer({"name": "Acme"})
    fields = {"currency": "usd", "unit_amount": "2500", "recurring": {"interval": "month"}}
    price = account.make_price({**fields, "product_data": {"name": "Team"}})
    make_meter(account, {"event_name": "drafts", "display_name": "Drafts", "default_aggregation": {"formula": "sum"}})
    used = {"stripe_customer_id": customer["id"], "value": "3"}
    report(account, {"event_name": "drafts", "identifier": "1", "timestamp": "1767225600", "payload": used})
    line = {"price": price["id"], "quantity": "2"}
    session = account.make_checkout({"customer": customer["id"], "line_items": [line]})
    subscription = account.pay_checkout(session["id"])
    account.advance(86_400 * 10)
    item = subscription["items"]["data"][0]["id"]
    account.change(subscription["id"], {"items": [{"id": item, "quantity": "5"}], "cancel_at_period_end": "false"})
    account.refused.add(customer["id"])
    account.advance(86_400 * 40)
    card = put_card(account, customer["id"])
    single = make_invoice(account, {"customer": customer["id"], "currency": "usd"})
    make_item(account, {"invoice": single["id"], "customer": customer["id"], "currency": "usd", "amount": "900"})
    account.refused.clear()
    pay(account, single["id"], {"payment_method": card["id"]})
    credit(account, {"invoice": single["id"], "amount": "900", "refund_amount": "900"})
    yield from account.objects.values()


def test_answers_have_stripes_shape(schemas: dict[str, Any]) -> None:
    document = {"components": {"schemas": schemas}}
    kinds = set()
    for made in _life():
        kinds.add(made["object"])
        schema = {"$ref": f"#/components/schemas/{made['object']}", **document}
        problem = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(made))
        assert problem is None, f"{made['object']}: {problem.json_path}: {problem.message}"
    assert kinds >= {
        "customer",
        "price",
        "product",
        "subscription",
        "invoice",
        "checkout.session",
        "event",
        "credit_note",
        "invoiceitem",
    }
