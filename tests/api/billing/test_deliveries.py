"""A-16: what Stripe delivers is believed only if Stripe signed it, and learned once, in whatever order it comes."""

import json
import random
import time
from typing import Any

import psycopg
import pytest

from tests.api.billing.conftest import SECRET, Till
from tests.conftest import Database
from tests.stripe_server.server import delivery


async def send(till: Till, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    answer = await till.owner.api.http.post("/v1/billing/deliveries", content=body, headers=headers)
    return answer.status_code, "" if answer.is_success else answer.json()["code"]


EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_of_nobody"}},
}


class TestSignature:
    async def test_a16_ours_is_taken_and_done(self, till: Till) -> None:
        assert await send(till, *delivery(EVENT, SECRET)) == (204, "")
        await till.learn()

    async def test_a16_another_secrets_is_refused(self, till: Till) -> None:
        assert await send(till, *delivery(EVENT, "whsec_wrong")) == (400, "signature_invalid")

    @pytest.mark.parametrize("seconds", [-301, 301])
    async def test_a16_stale_and_future_stamps_are_refused(self, till: Till, seconds: int) -> None:
        at = int(time.time()) + seconds + (1 if seconds > 0 else 0)
        assert await send(till, *delivery(EVENT, SECRET, at=at)) == (400, "signature_invalid")

    async def test_a16_the_same_event_written_otherwise_is_refused(self, till: Till) -> None:
        _, headers = delivery(EVENT, SECRET)
        assert await send(till, json.dumps(EVENT).encode(), headers) == (400, "signature_invalid")

    async def test_a16_the_log_says_why_and_tells_no_secret(self, till: Till, caplog: pytest.LogCaptureFixture) -> None:
        now, (body, headers) = int(time.time()), delivery(EVENT, SECRET)
        for refused, sent in (
            ("No secret of ours made this signature", delivery(EVENT, "whsec_wrong")),
            ("signed more than 300 seconds ago", delivery(EVENT, SECRET, at=now - 400)),
            ("signed more than 300 seconds ahead", delivery(EVENT, SECRET, at=now + 400)),
            ("No secret of ours made this signature", (json.dumps(EVENT).encode(), headers)),
            ("There is no Stripe-Signature header", (body, {})),
        ):
            caplog.clear()
            assert await send(till, *sent) == (400, "signature_invalid")
            assert refused in caplog.text
            assert SECRET not in caplog.text
            assert headers["Stripe-Signature"] not in caplog.text
            assert "cus_of_nobody" not in caplog.text

    async def test_a16_events_of_another_version_are_taken_and_said(
        self, till: Till, caplog: pytest.LogCaptureFixture
    ) -> None:
        await send(till, *delivery({**EVENT, "api_version": "2020-08-27"}, SECRET))
        assert "events of version '2020-08-27', this is written for" in caplog.text

    @pytest.mark.parametrize("header", ["", "t=1,v1=", "v1=abc", "t=x,v1=abc", "t=9999999999999999,v1=a", "nonsense"])
    async def test_a16_odd_headers_are_refused(self, till: Till, header: str) -> None:
        body, _ = delivery(EVENT, SECRET)
        assert await send(till, body, {"Stripe-Signature": header}) == (400, "signature_invalid")

    async def test_a16_while_a_secret_is_replaced_both_are_good(
        self, till: Till, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_STRIPE_WEBHOOK_SECRETS", f"whsec_new, {SECRET}")
        rotated = await till.another_api()
        for secret, status in (("whsec_new", 204), (SECRET, 204), ("whsec_old", 400)):
            body, headers = delivery(EVENT, secret)
            answer = await rotated.http.post("/v1/billing/deliveries", content=body, headers=headers)
            assert answer.status_code == status
        await rotated.close()

    @pytest.mark.parametrize("event", [[], {}, {"id": "evt_2"}, {"id": "evt_2", "type": "x", "data": None}])
    async def test_a16_signed_nonsense_is_refused(self, till: Till, event: Any) -> None:
        assert await send(till, *delivery(event, SECRET)) == (400, "invalid_request")


async def test_a16_ten_deliveries_of_an_event_have_one_effect(till: Till, api_database: Database) -> None:
    await till.subscribe(seats=3)
    before = events_of(till, api_database)
    sent = [event["id"] for event in till.stripe.account.events]
    await till.deliver(till.stripe.account.events * 10)
    with psycopg.connect(api_database.admin_url) as admin:
        kept = admin.execute("select count(*) from stripe_events where event_id = any(%s)", [sent]).fetchall()
    assert kept == [(len(sent),)]
    await till.learn()
    assert events_of(till, api_database) == before


async def test_a16_deliveries_out_of_order_end_in_stripes_state(till: Till, dice: random.Random) -> None:
    subscription = await till.subscribe(seats=3)
    with till.stripe.lock:
        for seats in (5, 2, 9):
            till.stripe.account.advance(86_400)
            till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": seats}]})
    dice.shuffle(till.undelivered)
    await till.settle()
    assert (await till.read())["subscription"]["seats"] == 9


async def test_a16_what_has_ended_is_not_revived_by_a_late_delivery(till: Till, api_database: Database) -> None:
    subscription = await till.subscribe(seats=3)
    with till.stripe.lock:
        till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": 5}]})
        till.stripe.account.cancel(subscription)
    updated, deleted = till.undelivered
    await till.deliver([deleted])
    await till.learn()
    # Stripe itself answers an old state: a cache of its own, say
    with till.stripe.lock:
        till.stripe.account.objects[subscription] |= {"status": "active", "ended_at": None, "canceled_at": None}
    await till.deliver([updated])
    await till.learn()
    found = await till.read()
    assert (found["subscription"]["status"], found["plan"]) == ("canceled", "free")
    assert events_of(till, api_database)[-1] == "subscription.cancelled"


async def test_a16_an_outage_of_stripe_loses_no_delivery(till: Till, api_database: Database) -> None:
    subscription = await till.subscribe(seats=3)
    with till.stripe.lock:
        till.stripe.account.change(subscription, {"items": [{"id": till.item, "quantity": 7}]})
    till.stripe.is_down = True
    await till.settle()
    assert (await till.read())["subscription"]["seats"] == 3
    till.stripe.is_down = False
    with psycopg.connect(api_database.admin_url, autocommit=True) as admin:  # its time has come
        admin.execute("update stripe_events set due_at = now() where done_at is null")
    await till.learn()
    assert (await till.read())["subscription"]["seats"] == 7


def events_of(till: Till, database: Database) -> list[str]:
    """Types of the organization's billing events, in order."""
    with psycopg.connect(database.admin_url) as admin:
        rows = admin.execute(
            "select type from event_log where organization_id = %s and aggregate_type in ('subscription', 'invoice')"
            " order by position",
            [till.owner.organization_id],
        )
        return [row[0] for row in rows]
