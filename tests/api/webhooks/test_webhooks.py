"""A-14, A-15: webhooks out, as a receiver sees them."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from uuid_utils.compat import uuid7

from api.edge.outgoing import Answer, Outgoing
from api.webhooks import rules
from api.webhooks.rules import DeliveryStatus, Outcome, Webhook, WebhookState
from api.webhooks.worker import Sender
from contracts.access import Role
from contracts.events.registry import parse
from runtime.embedded.postgres import EmbeddedPostgres
from tests.api.webhooks.conftest import Shop

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


def _signs(secret: str, request: tuple[dict[str, str], bytes]) -> bool:
    try:
        Verifier(secret).verify(request[1], request[0])
    except WebhookVerificationError:
        return False
    return True


async def test_a15_a_receiver_verifies_each_event_that_it_asked_for(shop: Shop) -> None:
    hook, everything = await shop.hook("team.created"), await shop.hook()
    team = await shop.team("Sales CANARY")
    await shop.owner.made("/v1/companies", json={"name": "Acme CANARY"})
    await shop.settle()
    of_hook = [one for one in shop.receiver.heard if _signs(hook["secret"], one)]
    of_all = [one for one in shop.receiver.heard if _signs(everything["secret"], one)]
    assert (len(of_hook), len(of_all), len(shop.receiver.heard)) == (1, 2, 3)
    headers, body = of_hook[0]
    event = parse(json.loads(body))
    assert (event.type, str(event.aggregate_id)) == ("team.created", team["id"])
    assert headers["webhook-id"] == str(event.id)
    assert headers["content-type"] == "application/json"
    assert not any(b"CANARY" in one[1] for one in shop.receiver.heard)  # ids and facts, no names
    assert not _signs(hook["secret"], (headers, body.replace(b"team.created", b"team.updated")))
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["attempts"], delivery["answer_status"]) == ("sent", 1, 204)


async def test_each_webhook_has_one_delivery_of_an_event_however_often_it_is_told(shop: Shop) -> None:
    hooks = [await shop.hook("team.created") for _ in range(2)]
    for number in range(5):
        await shop.team(f"Team {number}")
        async with shop.consuming():  # ended at once, wherever it is
            pass
    await shop.settle()
    shop.rows("delete from consumed_events")
    shop.rows("update consumers set settled_position = 0")  # whose progress was lost is told everything again
    await shop.settle()
    for hook in hooks:
        found = [one["event_id"] for one in await shop.deliveries(hook)]
        assert len(found) == len(set(found)) == 5
    assert len(shop.receiver.heard) == 10


async def test_a15_a_delivery_that_fails_comes_again_under_its_id_and_signed_anew(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    shop.receiver.status, shop.receiver.says = 503, b"busy \x00" + b"x" * 5000
    await shop.team()
    await shop.settle()
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["attempts"], delivery["answer_status"]) == ("pending", 1, 503)
    assert delivery["error"] == "It answered 503."
    assert delivery["answer"].startswith("busy ")
    assert len(delivery["answer"]) == 500
    wait = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)
    assert timedelta(0) < wait <= timedelta(seconds=5)
    failing = await shop.read(hook)
    assert (failing["state"], failing["first_failed_at"] is None) == ("active", False)
    shop.receiver.status = 200
    shop.hurry()
    await shop.settle()
    first, second = (headers["webhook-id"] for headers, _ in shop.receiver.heard)
    assert first == second
    assert all(_signs(hook["secret"], one) for one in shop.receiver.heard)
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("sent", 2, None)
    assert (await shop.read(hook))["first_failed_at"] is None


async def test_a15_410_disables_at_once_and_tells_administrators(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    shop.receiver.status = 410
    await shop.team()
    await shop.settle()
    await shop.team("Another")
    await shop.settle()
    assert len(shop.receiver.heard) == 1
    disabled = await shop.read(hook)
    assert (disabled["state"], disabled["reason"]) == ("disabled", "The receiver answered 410 Gone.")
    [told] = (await shop.owner.read("/v1/notifications"))["items"]
    assert shop.receiver.url in told["text"]
    assert "410" in told["text"]
    [delivery] = await shop.deliveries(hook)
    answer = await shop.owner.post(f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")
    shop.receiver.status = 200
    await shop.owner.patch(f"/v1/webhooks/{hook['id']}", json={"state": "active"})
    await shop.owner.made(f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}/replay")
    await shop.settle()
    assert shop.receiver.heard[0][0]["webhook-id"] == shop.receiver.heard[1][0]["webhook-id"]


async def test_a15_five_days_of_failure_disable_and_what_waits_goes_on_when_it_is_active_again(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    shop.receiver.status = 500
    await shop.team()
    await shop.settle()
    shop.rows("update webhooks set first_failed_at = now() - interval '121 hours' where id = %s", hook["id"])
    shop.hurry()
    await shop.settle()
    disabled = await shop.read(hook)
    assert (disabled["state"], disabled["reason"]) == ("disabled", "Every delivery failed for 5 days.")
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("pending", None)
    shop.receiver.status = 200
    active = (await shop.owner.patch(f"/v1/webhooks/{hook['id']}", json={"state": "active"})).json()
    assert (active["state"], active["reason"], active["first_failed_at"]) == ("active", None, None)
    await shop.settle()
    assert [one["status"] for one in await shop.deliveries(hook)] == ["sent"]


async def test_a14_an_address_that_is_not_public_is_called_by_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await shop.hook("team.created")
    guarded = Outgoing(seconds=2)  # as without SLUICE_OUTGOING_ALLOW
    shop.sender = Sender(shop.pool, guarded, shop.sender.vault)
    await shop.team()
    await shop.settle()
    await guarded.close()
    assert shop.receiver.heard == []
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
    assert delivery["error"] == "127.0.0.1 is not a public address."
    monkeypatch.delenv("SLUICE_OUTGOING_ALLOW")
    for url in (
        shop.receiver.url, "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest/", "ftp://example.com/",
        "https://user:pw@example.com/", "https://", "nonsense", "http://[::1", "http://example.com:99999/",
    ):  # fmt: skip
        answer = await shop.owner.post("/v1/webhooks", json={"url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_address"), url


async def test_a14_a_redirect_is_a_failure(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    shop.receiver.status = 302
    await shop.team()
    await shop.settle()
    [delivery] = await shop.deliveries(hook)
    assert (delivery["status"], delivery["error"]) == ("pending", "It answered 302.")


async def test_what_was_sent_is_sent_again_on_wish_word_for_word(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    await shop.team()
    await shop.settle()
    [delivery] = await shop.deliveries(hook)
    again = await shop.owner.made(f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}/replay")
    assert (again["status"], again["attempts"]) == ("pending", 0)
    await shop.settle()
    (first, body), (second, same_body) = shop.receiver.heard
    assert (first["webhook-id"], body) == (second["webhook-id"], same_body)
    assert [one["status"] for one in await shop.deliveries(hook)] == ["sent"]


async def test_a_trial_is_a_signed_event_of_its_own_type(shop: Shop) -> None:
    hook = await shop.hook("deal.deleted")
    made = await shop.owner.made(f"/v1/webhooks/{hook['id']}/test")
    await shop.settle()
    body = shop.receiver.verified(hook["secret"])
    assert (body["type"], body["id"], body["data"]) == ("webhook.test", made["event_id"], {"webhook_id": hook["id"]})


async def test_a15_after_a_rotation_both_secrets_verify_for_a_day(shop: Shop) -> None:
    hook = await shop.hook("team.created")
    rotated = await shop.owner.made(f"/v1/webhooks/{hook['id']}/secret")
    await shop.team()
    await shop.settle()
    assert shop.receiver.verified(hook["secret"]) == shop.receiver.verified(rotated["secret"])
    shop.rows("update webhooks set before_until = now() where id = %s", hook["id"])
    await shop.team("Another")
    await shop.settle()
    shop.receiver.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        shop.receiver.verified(hook["secret"])


async def test_the_secret_is_shown_once_and_kept_sealed(shop: Shop, postgres: EmbeddedPostgres) -> None:
    hook = await shop.hook("team.created")
    assert hook["secret"].startswith("whsec_")
    assert "secret" not in await shop.read(hook)
    assert "secret" not in (await shop.owner.read("/v1/webhooks"))["items"][0]
    argv = [str(postgres.programs / "pg_dump"), f"--dbname={shop.database.admin_url}", "--data-only", "--inserts"]
    dump = subprocess.run(argv, capture_output=True, check=True).stdout  # noqa: ASYNC221 # nothing else is to do
    assert hook["secret"].removeprefix("whsec_").encode() not in dump


async def test_what_is_no_webhook_is_refused_and_only_administrators_have_them(shop: Shop) -> None:
    answer = await shop.owner.post("/v1/webhooks", json={"url": shop.receiver.url, "event_types": ["deal.wonn"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_event_type")
    assert "deal.wonn" in answer.json()["detail"]
    hook = await shop.hook()
    path = f"/v1/webhooks/{hook['id']}"
    rep = await shop.owner.add_user(role=Role.REP)
    assert (await rep.get("/v1/webhooks")).status_code == 403
    assert (await shop.owner.patch(path, version=7, json={"state": "disabled"})).status_code == 412
    disabled = (await shop.owner.patch(path, json={"state": "disabled"})).json()
    assert (disabled["state"], disabled["reason"]) == ("disabled", "Disabled by hand.")
    assert (await shop.owner.post(f"{path}/test")).json()["code"] == "webhook_disabled"
    await shop.owner.patch(path, json={"state": "active", "event_types": ["team.created"]})
    await shop.team()
    await shop.settle()
    assert (await shop.owner.delete(path)).status_code == 204
    assert (await shop.owner.get(f"{path}/deliveries")).status_code == 404
    entries = (await shop.owner.read("/v1/audit"))["items"]
    assert {"webhook.created", "webhook.updated", "webhook.deleted"} <= {entry["action"] for entry in entries}


async def test_there_is_an_end_to_webhooks(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_WEBHOOKS", 1)
    await shop.hook()
    answer = await shop.owner.post("/v1/webhooks", json={"url": shop.receiver.url})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


def test_a15_the_schedule_of_attempts() -> None:
    hook = Webhook(
        id=uuid7(), version=1, created_at=NOW, updated_at=NOW, url="https://x.io", event_types=[], sealed=b""
    )
    delivery = rules.queued(hook.id, uuid7(), "team.created", "{}", now=NOW)
    outcome, now, waits = Outcome(Answer(500, {}, b"")), NOW, []
    while delivery.next_attempt_at is not None:
        now = delivery.next_attempt_at
        delivery = rules.after_attempt(hook, replace(delivery, attempts=delivery.attempts + 1), outcome, now=now)
        if delivery.next_attempt_at is not None:
            waits.append((delivery.next_attempt_at - now).total_seconds())
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 36000]
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 8)


def test_a15_it_takes_five_whole_days_to_disable() -> None:
    hook = Webhook(
        id=uuid7(), version=1, created_at=NOW, updated_at=NOW, url="https://x.io", event_types=[], sealed=b""
    )
    failed = rules.judged(hook, Outcome(error="no"), now=NOW)
    assert (failed.state, failed.first_failed_at) == (WebhookState.ACTIVE, NOW)
    almost = NOW + timedelta(days=5, seconds=-1)
    assert rules.judged(failed, Outcome(error="no"), now=almost).state is WebhookState.ACTIVE
    assert rules.judged(failed, Outcome(Answer(200, {}, b"")), now=almost).first_failed_at is None
    assert rules.judged(failed, Outcome(error="no"), now=NOW + timedelta(days=5)).state is WebhookState.DISABLED
