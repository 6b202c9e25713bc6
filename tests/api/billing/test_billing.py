"""Plans, seats and invoices, as an owner uses them."""

import asyncio
import time

import psycopg
import pytest

from contracts.access import Role
from tests.api.billing.conftest import Till, settings_of
from tests.factories import new_email
from tests.stripe_server.account import PERIODS

MONTH = PERIODS["month"] // 86_400


async def test_buying_a_plan_gives_its_seats_and_an_invoice(till: Till) -> None:
    await till.subscribe(seats=4)
    found = await till.read()
    assert (found["plan"], found["subscription"]["status"], found["limits"]["seats"]) == ("team", "active", 4)
    assert found["used"] == {"seats": 1, "bd_accounts": 0, "ai_drafts": 0, "storage_mb": 0}
    [invoice] = (await till.owner.read("/v1/billing/invoices"))["items"]
    assert (invoice["total_minor"], invoice["status"], invoice["seats"]) == (4 * 2_500, "paid", 4)


async def test_who_bought_nothing_has_the_free_plan_and_is_told_where_to_change_it(till: Till) -> None:
    await till.owner.add_user()
    await till.owner.add_user()
    body = {"email": new_email("rep"), "name": "Kim", "password": "a long enough phrase", "role": "rep"}
    refused = await till.owner.post("/v1/users", json=body)
    assert (refused.status_code, refused.json()["code"]) == (402, "plan_limit_reached")
    assert "3 seats, and 3 are used" in refused.json()["detail"]
    await till.subscribe(seats=4)
    assert (await till.owner.post("/v1/users", json=body)).status_code == 201


async def test_the_last_seat_is_given_once(till: Till) -> None:
    await till.owner.add_user()
    rep = await till.owner.add_user()
    disabled = await till.owner.patch(f"/v1/users/{rep.user_id}", json={"is_active": False})
    assert disabled.is_success
    await till.owner.add_user()
    refused = await till.owner.patch(f"/v1/users/{rep.user_id}", json={"is_active": True})
    assert (refused.status_code, refused.json()["code"]) == (402, "plan_limit_reached")


async def test_seats_cannot_be_fewer_than_people(till: Till) -> None:
    await till.owner.add_user()
    refused = await till.owner.post("/v1/billing/checkout", json={"plan": "team", "seats": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "seats_in_use")
    await till.subscribe(seats=2)
    refused = await till.owner.call("PATCH", "/v1/billing/subscription", json={"seats": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "seats_in_use")


async def test_more_seats_are_there_at_once_and_charged_from_then_on(till: Till) -> None:
    await till.subscribe(seats=2)
    with till.stripe.lock:
        till.stripe.account.advance(MONTH // 2 * 86_400)
    preview = await till.owner.made("/v1/billing/preview", json={"seats": 4})
    changed = await till.owner.call("PATCH", "/v1/billing/subscription", json={"seats": 4})
    assert changed.json()["seats"] == 4
    assert (await till.read())["limits"]["seats"] == 4
    await till.pass_days(MONTH / 2)
    newest, _ = (await till.owner.read("/v1/billing/invoices"))["items"]
    # two seats more for half a month, and four for the next
    assert newest["total_minor"] == 2 * 2_500 // 2 + 4 * 2_500 == preview["total_minor"]
    assert [line["is_proration"] for line in newest["lines"]] == [True, True, False]
    assert newest["seats"] == 4


async def test_a_payment_that_fails_begins_a_time_of_grace_that_paying_ends(till: Till) -> None:
    await till.subscribe(seats=5)
    customer = till.stripe.account.all("subscription")[0]["customer"]
    till.stripe.account.refused.add(customer)
    await till.pass_days(MONTH)
    found = await till.read()
    assert (found["subscription"]["status"], found["limits"]["seats"]) == ("past_due", 5)
    assert found["falls_back_at"] is not None
    till.stripe.account.refused.clear()
    await till.pass_days(1)
    found = await till.read()
    assert (found["subscription"]["status"], found["falls_back_at"]) == ("active", None)


async def test_a_first_subscription_is_on_trial_and_a_second_is_not(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_BILLING_TRIAL_DAYS", "14")
    till.owner = await (await till.another_api()).sign_up()
    await till.subscribe(seats=2)
    found = await till.read()
    assert (found["subscription"]["status"], found["plan"], found["limits"]["seats"]) == ("trialing", "team", 2)
    assert (await till.owner.read("/v1/billing/invoices"))["items"] == []
    await till.pass_days(14)
    assert (await till.read())["subscription"]["status"] == "active"
    [invoice] = (await till.owner.read("/v1/billing/invoices"))["items"]
    assert invoice["total_minor"] == 2 * 2_500
    assert (await till.owner.call("PATCH", "/v1/billing/subscription", json={"cancels_at_period_end": True})).is_success
    await till.pass_days(MONTH)
    await till.subscribe(seats=2)
    assert (await till.read())["subscription"]["status"] == "active"


async def test_coupons_and_taxes_are_told_of_an_invoice(till: Till) -> None:
    await till.owner.made("/v1/billing/checkout", json={"plan": "team", "seats": 2})
    asked = next(form for _, path, form in till.stripe.requests if path == "/v1/checkout/sessions")
    assert "allow_promotion_codes=true" in asked
    assert "tax_id_collection" in asked
    customer = till.stripe.account.all("customer")[0]["id"]
    till.stripe.account.coupons[customer], till.stripe.account.taxes[customer] = 20, 19
    await till.subscribe(seats=2)
    [invoice] = (await till.owner.read("/v1/billing/invoices"))["items"]
    assert (invoice["discount_minor"], invoice["tax_minor"], invoice["total_minor"]) == (1_000, 760, 4_760)
    assert (invoice["paid_minor"], invoice["seats"]) == (4_760, 2)


async def test_tax_ids_are_given_and_taken_away(till: Till) -> None:
    assert (await till.owner.read("/v1/billing/tax-ids"))["items"] == []
    made = await till.owner.made("/v1/billing/tax-ids", json={"kind": "eu_vat", "value": "DE123456789"})
    refused = await till.owner.post("/v1/billing/tax-ids", json={"kind": "eu_vat", "value": "nonsense"})
    assert (refused.status_code, refused.json()["code"]) == (422, "refused_by_stripe")
    [kept] = (await till.owner.read("/v1/billing/tax-ids"))["items"]
    assert kept == made == {"id": made["id"], "kind": "eu_vat", "value": "DE123456789", "check": "pending"}
    assert (await till.owner.call("DELETE", f"/v1/billing/tax-ids/{made['id']}")).status_code == 204
    assert (await till.owner.read("/v1/billing/tax-ids"))["items"] == []


async def test_accounts_are_limited_by_the_plan(till: Till) -> None:
    account = {"channel": "telegram", "name": "One", "address": "+351900000001"}
    assert (await till.owner.post("/v1/bd-accounts", json=account)).status_code == 201
    refused = await till.owner.post("/v1/bd-accounts", json={**account, "address": "+351900000002"})
    assert (refused.status_code, refused.json()["code"]) == (402, "plan_limit_reached")
    assert "1 bd accounts, and 1 are used" in refused.json()["detail"]
    await till.subscribe(seats=2)
    assert (await till.owner.post("/v1/bd-accounts", json={**account, "address": "+351900000002"})).status_code == 201
    assert (await till.read())["used"]["bd_accounts"] == 2


async def test_after_the_grace_the_free_plan_holds_until_it_is_paid(till: Till) -> None:
    till.settings = settings_of(till.stripe, billing_grace_days=0)
    await till.subscribe(seats=5)
    for _ in range(3):
        await till.owner.add_user()
    till.stripe.account.refused.add(till.stripe.account.all("subscription")[0]["customer"])
    await till.pass_days(MONTH)
    body = {"email": new_email("rep"), "name": "Kim", "password": "a long enough phrase", "role": "rep"}
    assert (await till.owner.post("/v1/users", json=body)).status_code == 402
    # nobody who is there is shut out
    assert (await till.owner.get("/v1/users")).is_success


async def test_cancelling_lets_the_period_end(till: Till) -> None:
    await till.subscribe(seats=2)
    changed = await till.owner.call("PATCH", "/v1/billing/subscription", json={"cancels_at_period_end": True})
    assert changed.json()["cancels_at"] == changed.json()["period_ends_at"]
    assert (await till.read())["plan"] == "team"
    await till.pass_days(MONTH)
    found = await till.read()
    assert (found["plan"], found["subscription"]["status"]) == ("free", "canceled")
    again = await till.owner.post("/v1/billing/checkout", json={"plan": "team", "seats": 2})
    assert again.is_success


async def test_a_repeated_checkout_is_one(till: Till) -> None:
    options = {"json": {"plan": "team", "seats": 2}, "headers": {"Idempotency-Key": "once"}}
    first, second = [await till.owner.made("/v1/billing/checkout", **options) for _ in range(2)]
    assert first == second
    assert len(till.stripe.account.all("checkout.session")) == len(till.stripe.account.all("customer")) == 1


async def test_while_stripe_does_not_answer_everything_else_goes_on(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    await till.subscribe(seats=2)
    till.stripe.is_down = True
    for body in ({"seats": 4}, {"plan": "business"}, {"pays_usage": True}):
        refused = await till.owner.call("PATCH", "/v1/billing/subscription", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "billing_unavailable")
    assert (await till.read())["subscription"]["seats"] == 2
    assert await till.owner.add_user()


async def test_who_waits_for_stripe_waits_not_for_ever_and_holds_no_transaction(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    monkeypatch.setattr("api.billing.provider._SECONDS", 1)
    await till.subscribe(seats=2)
    asked, began = len(till.stripe.requests), time.monotonic()
    with till.stripe.lock:  # it takes requests, and answers none
        waiting = asyncio.create_task(till.owner.call("PATCH", "/v1/billing/subscription", json={"seats": 4}))
        await asyncio.sleep(0.5)
        with psycopg.connect(till.database.admin_url) as admin:
            [open_ones] = admin.execute(
                "select count(*) from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid()"
                " and datname = current_database() and usename in ('sluice_app', 'sluice_worker')"
            ).fetchall()
        refused = await waiting
    assert open_ones == (0,)
    assert (refused.status_code, refused.json()["code"]) == (503, "billing_unavailable")
    assert time.monotonic() - began < 5
    assert len(till.stripe.requests) <= asked + 1


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.ANALYST])
async def test_only_administrators_see_and_change_billing(till: Till, role: Role) -> None:
    other = await till.owner.add_user(role=role)
    assert (await other.get("/v1/billing")).status_code == 403
    assert (await other.post("/v1/billing/portal")).status_code == 403


async def test_stripes_refusal_is_told(till: Till) -> None:
    with till.stripe.lock:
        for price in till.stripe.account.all("price"):
            price["lookup_key"] = None
    refused = await till.owner.post("/v1/billing/checkout", json={"plan": "team", "seats": 2})
    assert (refused.status_code, refused.json()["code"]) == (422, "refused_by_stripe")
    assert "./sluice billing setup" in refused.json()["detail"]


async def test_where_billing_is_off_everything_is_allowed(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_STRIPE_SECRET_KEY")
    app = await till.another_api()
    owner = await app.sign_up()
    for _ in range(4):
        await owner.add_user()
    found = await owner.read("/v1/billing")
    assert (found["is_on"], found["limits"]) == (False, None)
    refused = await owner.post("/v1/billing/checkout", json={"plan": "team", "seats": 9})
    assert (refused.status_code, refused.json()["code"]) == (409, "billing_off")
    await app.close()
