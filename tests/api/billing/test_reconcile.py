"""What never came by webhook is found in Stripe's lists; and money, over many random changes, is what it should be."""

import asyncio
import random
import time
from fractions import Fraction

import dagster as dg
import psycopg
import pytest

from api.billing.provider import Provider
from api.billing.reconcile import Reconciled, reconcile
from orchestration.defs.billing import reconcile as nightly
from tests.api.billing.conftest import Till
from tests.stripe_server.account import PERIODS, Object

SEAT = 2_500


async def _reconciled(till: Till) -> Reconciled:
    async with Provider(till.settings) as provider:
        return await reconcile(till.pool, provider, till.settings)


async def test_lost_deliveries_are_found_and_repaired(till: Till) -> None:
    subscription = await till.subscribe(seats=3)
    assert (await _reconciled(till)).repaired == []
    with till.stripe.lock:
        till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": 8}]})
        till.stripe.account.advance(PERIODS["month"])
    till.undelivered.clear()
    assert (await till.read())["subscription"]["seats"] == 3
    newest = till.stripe.account.all("invoice")[0]["id"]
    assert set((await _reconciled(till)).repaired) == {subscription, newest}
    assert (await till.read())["subscription"]["seats"] == 8
    assert len((await till.owner.read("/v1/billing/invoices"))["items"]) == 2
    assert (await _reconciled(till)).repaired == []


async def test_each_night_an_asset_repairs_and_says_what_it_cannot(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATABASE_WORKER_URL", till.database.worker_url)
    till.stripe.account.now = int(time.time())
    subscription = await till.subscribe(seats=3, pays_usage=True)
    await till.connect(6)
    await till.report()
    with till.stripe.lock:
        till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": 8}]})
    done = await asyncio.to_thread(nightly)
    assert (done["repaired"], done["which"]) == (1, subscription)
    with psycopg.connect(till.database.admin_url, autocommit=True) as admin:
        admin.execute("update usage_reports set stamped_at = stamped_at - interval '1 hour'")
    with pytest.raises(dg.Failure, match="account_days_beyond is 0 there and 1 here"):
        await asyncio.to_thread(nightly)
    monkeypatch.delenv("SLUICE_STRIPE_SECRET_KEY")
    assert await asyncio.to_thread(nightly) == {"note": "Billing is off."}


async def test_what_is_not_ours_is_left_alone(till: Till) -> None:
    with till.stripe.lock:
        account = till.stripe.account
        customer = account.make_customer({"name": "Another shop's"})
        fields = {"currency": "usd", "unit_amount": "1", "recurring": {"interval": "month"}}
        price = account.make_price({**fields, "product_data": {"name": "Book"}})
        line = {"price": price["id"], "quantity": 1}
        account.pay_checkout(account.make_checkout({"customer": customer["id"], "line_items": [line]})["id"])
    await till.settle()
    done = await _reconciled(till)
    assert (done.compared, done.repaired) == (0, [])


@pytest.mark.parametrize("changes", [60, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_invoices_equal_an_independent_count_of_seats_and_seconds(
    till: Till, dice: random.Random, changes: int
) -> None:
    month = PERIODS["month"]
    await till.subscribe(seats=5)
    expected, seats, at, end = [[5 * SEAT]], 5, 0, month
    pending: list[int] = []
    for _ in range(changes):
        passed = dice.randrange(1, month // 4)
        with till.stripe.lock:
            till.stripe.account.advance(passed)
        at += passed
        if at >= end:
            expected.append([*pending, seats * SEAT])
            pending, end = [], end + month
        wanted = dice.choice([one for one in range(1, 40) if one != seats])
        changed = await till.owner.call("PATCH", "/v1/billing/subscription", json={"seats": wanted})
        assert changed.json()["seats"] == wanted
        left = Fraction(end - at, month)
        pending += [-_rounded(seats * SEAT * left), _rounded(wanted * SEAT * left)]
        seats = wanted
    await till.settle()
    invoices = await _invoices(till)
    assert [[line["amount_minor"] for line in invoice["lines"]] for invoice in invoices] == expected
    assert [invoice["total_minor"] for invoice in invoices] == [sum(lines) for lines in expected]


async def _invoices(till: Till) -> list[Object]:
    """All of them, oldest first."""
    found, cursor = list[Object](), None
    while True:
        page = await till.owner.read("/v1/billing/invoices", params={"cursor": cursor} if cursor else {})
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return sorted(found, key=lambda invoice: str(invoice["issued_at"]))


def _rounded(amount: Fraction) -> int:
    return int(amount + Fraction(1, 2))
