"""Billing and the test's Stripe against what others wrote: Stripe's document, Steady, Stripe's command line."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.billing.payments import PaymentDeclined, Payments
from api.billing.provider import Provider
from api.billing.reconcile import reconcile
from tests.api.billing.conftest import Till
from tests.stripe_server.programs import replay, steady, stripe_command
from tests.stripe_server.spec import answer_of, problem_of

_HOUR = datetime(2026, 6, 1, 9, tzinfo=UTC), datetime(2026, 6, 1, 10, tzinfo=UTC)
_ID = re.compile(r"/[a-z_]+_[A-Za-z0-9]{8,}")


async def _everything(till: Till) -> None:
    """All that billing ever asks of Stripe."""
    account = till.stripe.account
    account.now = int(time.time())
    await till.subscribe(seats=2, pays_usage=True)
    await till.owner.made("/v1/billing/portal")
    tax_id = await till.owner.made("/v1/billing/tax-ids", json={"kind": "gb_vat", "value": "GB123456789"})
    await till.owner.read("/v1/billing/tax-ids")
    await till.owner.call("DELETE", f"/v1/billing/tax-ids/{tax_id['id']}")
    await till.connect(6)
    told = await till.report()
    await till.owner.made("/v1/billing/preview", json={"seats": 4})
    bodies: tuple[dict[str, Any], ...]
    bodies = ({"seats": 4}, {"pays_usage": False}, {"pays_usage": True}, {"plan": "business", "interval": "year"})
    for body in (*bodies, {"cancels_at_period_end": True}):
        assert (await till.owner.call("PATCH", "/v1/billing/subscription", json=body)).is_success
    await till.settle()
    payments, organization_id = Payments(till.pool, till.settings), till.owner.organization_id
    paid = await payments.charge(organization_id, key="1", amount_minor=900, currency="USD", what="An account")
    await payments.refund(organization_id, paid.payment_id, key="1")
    till.stripe.account.refused.add(till.stripe.account.all("customer")[0]["id"])
    with pytest.raises(PaymentDeclined):
        await payments.charge(organization_id, key="2", amount_minor=900, currency="USD", what="An account")
    async with Provider(till.settings) as provider:
        assert told > 0
        await provider.sum_of_use("sluice_account_days_beyond", account.all("customer")[0]["id"], *_HOUR)
        await reconcile(till.pool, provider, till.settings)


async def test_requests_and_answers_are_as_stripe_documents_them(till: Till, tmp_path: Path) -> None:
    await _everything(till)
    distinct = {(verb, _ID.sub("/ID", path), re.sub(r"=[^&]*", "", form)) for verb, path, form in till.stripe.requests}
    assert len(distinct) >= 20
    for verb, path, answer in till.stripe.answers:
        assert (problem := problem_of(answer, answer_of(verb, path))) is None, f"{verb} {path}: {problem}"
    with steady(tmp_path) as client:
        assert replay(client, "POST", "/v1/customers", "nam=Acme") is not None
        refused = [problem for request in till.stripe.requests if (problem := replay(client, *request))]
    assert refused == []


async def test_what_an_operator_does_by_stripes_command_line_is_learned(till: Till, tmp_path: Path) -> None:
    await till.owner.made("/v1/billing/portal")  # the organization is known there
    account = till.stripe.account
    price = next(one for one in account.all("price") if one["lookup_key"] == "sluice_team_month")
    customer = account.all("customer")[0]["id"]
    bought = {"customer": customer, "items": [{"price": price["id"], "quantity": 6}]}
    buy = {"name": "bought", "path": "/v1/subscriptions", "method": "post", "params": bought}
    assert await _after(till, buy, tmp_path / "buy.json") == ("active", 6)
    end = {"name": "ended", "path": f"/v1/subscriptions/{account.all('subscription')[0]['id']}", "method": "delete"}
    assert await _after(till, end, tmp_path / "end.json") == ("canceled", 6)


async def _after(till: Till, fixture: dict[str, Any], file: Path) -> tuple[str, int]:
    document = json.dumps({"_meta": {"template_version": 0}, "fixtures": [fixture]})
    await asyncio.to_thread(file.write_text, document)
    await asyncio.to_thread(stripe_command, till.stripe, "fixtures", str(file))
    await till.settle()
    subscription = (await till.read())["subscription"]
    return subscription["status"], subscription["seats"]
