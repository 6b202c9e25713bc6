"""Use beyond the plan: allowed where it is paid for, told to Stripe once whatever is lost, charged to the cent."""

import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from api.billing.provider import BillingUnavailable, Provider
from api.billing.reconcile import Reconciled, reconcile
from tests.api.billing.conftest import Till
from tests.conftest import Database
from tests.stripe_server.account import PERIODS, Object

MONTH = PERIODS["month"] // 86_400
DRAFT, ACCOUNT_DAY, SEAT = 5, 50, 2_500


def _told(till: Till, meter: str = "ai_drafts") -> list[int]:
    events = reversed(till.stripe.account.all("billing.meter_event"))
    return [int(one["payload"]["value"]) for one in events if one["event_name"] == f"sluice_{meter}_beyond"]


async def _reconciled(till: Till) -> Reconciled:
    async with Provider(till.settings) as provider:
        return await reconcile(till.pool, provider, till.settings)


async def test_what_goes_beyond_is_allowed_where_it_is_paid_for(till: Till) -> None:
    await till.subscribe(seats=2)
    await till.connect(5)
    sixth = {"channel": "telegram", "name": "Six", "address": "+351900000006"}
    assert (await till.owner.post("/v1/bd-accounts", json=sixth)).status_code == 402
    changed = await till.owner.call("PATCH", "/v1/billing/subscription", json={"pays_usage": True})
    assert (changed.json()["pays_usage"], (await till.read())["limits"]["bd_accounts"]) == (True, 20)
    assert (await till.owner.post("/v1/bd-accounts", json=sixth)).status_code == 201
    again = await till.owner.call("PATCH", "/v1/billing/subscription", json={"pays_usage": True})
    assert again.json()["pays_usage"]
    changed = await till.owner.call("PATCH", "/v1/billing/subscription", json={"pays_usage": False})
    assert (changed.json()["pays_usage"], (await till.read())["limits"]["bd_accounts"]) == (False, 5)
    assert (await till.owner.post("/v1/bd-accounts", json={**sixth, "address": "+3519000077"})).status_code == 402


async def test_on_trial_nothing_goes_beyond(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_BILLING_TRIAL_DAYS", "14")
    till.owner = await (await till.another_api()).sign_up()
    await till.subscribe(seats=2, pays_usage=True)
    assert (await till.read())["limits"]["ai_drafts"] == 500
    await till.pass_days(14)
    assert (await till.read())["limits"]["ai_drafts"] == 2_500


async def test_invoices_are_seats_and_use_to_the_cent(till: Till) -> None:
    till.stripe.account.now = int(time.time())
    await till.subscribe(seats=3, pays_usage=True, interval="year")
    till.paid_use(hours_ago=9)
    await till.connect(7)
    # the plan has 500 drafts: all but 20 of the first
    for hours_ago, drafts, is_told in ((8, 520, True), (6, 7, False), (4, 11, True), (3, 0, True)):
        till.draft(drafts, hours_ago=hours_ago)
        till.draft(1, hours_ago=hours_ago, state="failed")
        await till.pass_days(1)
        if is_told:
            await till.report()
        await till.pass_days(MONTH - 1)
    invoices = (await till.owner.read("/v1/billing/invoices"))["items"][::-1]
    lines = [{line["kind"]: (line["quantity"], line["amount_minor"]) for line in one["lines"]} for one in invoices]
    seats = {"seats": (3, 3 * 25_200)}
    # one day's look at accounts; what could not be told in the second month comes with the third
    months = [(20, 2), (0, 0), (7 + 11, 0), (0, 0)]
    assert lines == [seats, *({
        "sluice_ai_drafts_beyond": (drafts, drafts * DRAFT),
        "sluice_account_days_beyond": (days, days * ACCOUNT_DAY),
    } for drafts, days in months)]  # fmt: skip
    used = [drafts * DRAFT + days * ACCOUNT_DAY for drafts, days in months]
    assert [one["total_minor"] for one in invoices] == [3 * 25_200, *used]
    assert [one["seats"] for one in invoices] == [3, 0, 0, 0, 0]
    assert (await _reconciled(till)).usage == []
    told = _reported(till)
    assert sum(one["quantity"] for one in told if one["meter"] == "ai_drafts_beyond") == 20 + 7 + 11
    assert all(one["subscription_id"] for one in told)


async def test_use_is_told_once_whichever_answer_is_lost(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    await till.subscribe(seats=2, pays_usage=True)
    till.paid_use(hours_ago=9)
    till.draft(503, hours_ago=5)
    till.draft(2, hours_ago=3)
    till.stripe.losing = len(till.stripe.requests) + 1  # the second report arrives, its answer does not
    with pytest.raises(BillingUnavailable):
        await till.report()
    till.stripe.kept.clear()
    await till.report()
    assert await till.report() == 0
    assert _told(till) == [3, 2]
    assert len(_reported(till)) == 2


async def test_what_stripe_has_is_not_told_again_when_it_has_forgotten_the_identifier(
    till: Till, api_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    await till.subscribe(seats=2, pays_usage=True)
    till.paid_use(hours_ago=9)
    till.draft(503, hours_ago=5)
    till.stripe.losing = len(till.stripe.requests)
    with pytest.raises(BillingUnavailable):
        await till.report()
    with psycopg.connect(api_database.admin_url, autocommit=True) as admin:  # two days pass
        admin.execute("update usage_reports set stamped_at = stamped_at - interval '2 days'")
    for event in till.stripe.account.all("billing.meter_event"):
        event["timestamp"] -= int(timedelta(days=2).total_seconds())
    till.stripe.kept.clear()
    till.stripe.account.knows_identifiers = False
    till.draft(2, hours_ago=3)
    assert await till.report() == 2
    assert _told(till) == [3, 2]
    assert (await _reconciled(till)).usage == []


async def test_a_change_of_plan_judges_what_was_used_before_by_the_plan_before(till: Till) -> None:
    await till.subscribe(seats=2, plan="business", pays_usage=True)
    till.paid_use(hours_ago=9)
    till.draft(600, hours_ago=5)
    assert (await till.owner.call("PATCH", "/v1/billing/subscription", json={"plan": "team"})).is_success
    await till.report()
    assert _told(till) == []
    till.paid_use(hours_ago=3)
    till.draft(4, hours_ago=2)
    await till.report()
    assert _told(till) == [4]
    till.draft(3, hours_ago=0)
    assert (await till.owner.call("PATCH", "/v1/billing/subscription", json={"plan": "business"})).is_success
    await till.report()
    assert _told(till) == [4, 3]


async def test_what_stripe_refuses_is_told_once_its_meter_is_set_up(till: Till) -> None:
    await till.subscribe(seats=2, pays_usage=True)
    till.paid_use(hours_ago=9)
    till.draft(501, hours_ago=5)
    await till.connect(6)
    meters = till.stripe.account.all("billing.meter")
    [meter] = [one for one in meters if one["event_name"] == "sluice_ai_drafts_beyond"]
    meter["event_name"] = "another"
    await till.report()
    assert (_told(till), _told(till, "account_days")) == ([], [1])
    meter["event_name"] = "sluice_ai_drafts_beyond"
    till.stripe.kept.clear()
    await till.report()
    assert (_told(till), _told(till, "account_days")) == ([1], [1])


async def test_the_page_is_told_what_goes_beyond_and_what_it_costs(till: Till) -> None:
    await till.subscribe(seats=2, pays_usage=True)
    await till.connect(7)
    await till.report()
    [drafts, accounts] = (await till.read())["beyond"]
    assert (drafts["limit"], drafts["included"], drafts["quantity"], drafts["cost_minor"]) == ("ai_drafts", 500, 0, 0)
    assert (accounts["included"], accounts["quantity"], accounts["cost_minor"]) == (5, 2, 2 * ACCOUNT_DAY)


def _reported(till: Till) -> list[Object]:
    with psycopg.connect(till.database.admin_url) as admin:
        rows: list[tuple[Any]] = admin.execute(
            "select data from event_log where organization_id = %s and type = 'usage.reported'",
            [till.owner.organization_id],
        ).fetchall()
    return [data for (data,) in rows]
