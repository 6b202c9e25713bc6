"""The test server's objects are of the shape that Stripe's own document gives, and Stripe's command line drives it."""

import time
from collections.abc import Iterator

import pytest

from tests.stripe_server.account import Object, StripeAccount
from tests.stripe_server.meters import make_meter, report
from tests.stripe_server.one_off import credit, make_invoice, make_item, pay, put_card
from tests.stripe_server.programs import stripe_command
from tests.stripe_server.server import stripe_server
from tests.stripe_server.spec import answer_of, problem_of


def _life() -> Iterator[Object]:
    """Objects of every kind that the server makes, after a life of their own."""
    account = StripeAccount()
    customer = account.make_customer({"name": "Acme"})
    fields = {"currency": "usd", "unit_amount": "2500", "recurring": {"interval": "month"}}
    price = account.make_price({**fields, "product_data": {"name": "Team"}})
    make_meter(account, {"event_name": "drafts", "display_name": "Drafts", "default_aggregation": {"formula": "sum"}})
    used = {"stripe_customer_id": customer["id"], "value": "3"}
    report(account, {"event_name": "drafts", "identifier": "1", "timestamp": str(int(time.time())), "payload": used})
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


def test_objects_have_stripes_shape() -> None:
    kinds = set()
    for made in _life():
        kinds.add(made["object"])
        assert (problem := problem_of(made, {"$ref": f"#/components/schemas/{made['object']}"})) is None, problem
    assert kinds >= {"customer", "price", "product", "subscription", "invoice", "checkout.session", "event"}
    assert kinds >= {"credit_note", "invoiceitem", "payment_method", "billing.meter", "billing.meter_event"}


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("customer.subscription.created", "customer.subscription.created"),
        pytest.param("customer.subscription.deleted", "customer.subscription.deleted", marks=pytest.mark.slow),
        pytest.param("invoice.paid", "invoice.paid", marks=pytest.mark.slow),
        pytest.param("invoice.payment_failed", "invoice.payment_failed", marks=pytest.mark.slow),
    ],
)
def test_stripes_command_line_drives_it(trigger: str, expected: str) -> None:
    with stripe_server() as server:
        assert "Trigger succeeded" in stripe_command(server, "trigger", trigger)
        assert expected in [event["type"] for event in server.account.events]
        assert server.answers
        for verb, path, answer in server.answers:
            assert (problem := problem_of(answer, answer_of(verb, path))) is None, f"{verb} {path}: {problem}"
