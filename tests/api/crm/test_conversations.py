"""Conversations as people and connectors use them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from api.conversations import enclosing
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def account(owner: Member, *, channel: str = "email", address: str = "sales@us.example", **more: Any) -> Any:
    """An account that works and is held: its body, with the epoch of the lease."""
    made = await owner.made("/v1/bd-accounts", {"channel": channel, "name": "Ours", "address": address, **more})
    path = f"/v1/bd-accounts/{made['id']}"
    await owner.made(f"{path}/state", {"state": "active"})
    return made | await owner.made(f"{path}/lease", {"holder": "one"})


def mail(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A mail from Ada."""
    name = f"<m{number}@acme.example>"
    return {
        "provider_id": name,
        "thread_key": name,
        "address": "Ada@acme.example",
        "direction": "in",
        "subject": "400 seats",
        "text": f"Message {number}",
        "occurred_at": (NOON + timedelta(minutes=number)).isoformat(),
        **fields,
    }


async def take_in(owner: Member, held: Any, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"account_id": held["id"], "epoch": held["epoch"], "messages": list(messages)}
    found: list[dict[str, Any]] = (await owner.made("/v1/messages/inbound", body))["messages"]
    return found


async def claim(owner: Member, held: Any) -> list[dict[str, Any]]:
    body = {"account_id": held["id"], "epoch": held["epoch"]}
    found: list[dict[str, Any]] = (await owner.made("/v1/sends/claim", body))["sends"]
    return found


async def result(owner: Member, held: Any, job: Any, state: str = "sent", **more: Any) -> dict[str, Any]:
    body = {"epoch": held["epoch"], "state": state, **more}
    return await owner.made(f"/v1/sends/{job['send_id']}/result", body)


class TestTakingIn:
    async def test_a_message_opens_a_conversation_with_the_contact_and_their_deal(
        self, crm: Crm, owner: Member
    ) -> None:
        contact = await owner.made("/v1/contacts", {"name": "Ada", "email": "ada@ACME.example"})
        deal = await owner.deal(contact_id=contact["id"])
        held = await account(owner)
        [taken] = await take_in(owner, held, mail())
        found = (await owner.get(f"/v1/conversations/{taken['conversation_id']}")).json()
        assert (found["contact_id"], found["deal_id"]) == (contact["id"], deal["id"])
        assert (found["status"], found["unread_count"], found["subject"]) == ("open", 1, "400 seats")
        [message] = (await owner.get(f"/v1/conversations/{found['id']}/messages")).json()["items"]
        assert (message["text"], message["state"]) == ("Message 1", "received")
        events = crm.events(found["id"]) + crm.events(message["id"])
        assert [event["type"] for event in events] == ["conversation.opened", "message.received"]
        assert "Message 1" not in str(events)
        assert "acme" not in str(events)

    async def test_the_same_message_again_is_not_two(self, owner: Member) -> None:
        held = await account(owner)
        answers = await asyncio.gather(*(take_in(owner, held, mail(1), mail(2)) for _ in range(5)))
        assert sum(one["is_new"] for answer in answers for one in answer) == 2
        assert len({one["message_id"] for answer in answers for one in answer}) == 2

    async def test_mail_joins_the_thread_it_refers_to_or_that_of_its_subject(self, owner: Member) -> None:
        held = await account(owner)
        taken = await take_in(
            owner,
            held,
            mail(1),
            mail(2, references=["<m1@acme.example>"], subject="Other words"),
            mail(3, subject="RE: Fwd: 400 seats"),
            mail(4),
            mail(5, subject="Re: 400 seats", address="bob@acme.example"),
        )
        threads = [one["conversation_id"] for one in taken]
        assert threads[0] == threads[1] == threads[2]
        assert len(set(threads)) == 3

    async def test_their_message_wakes_what_slept_or_was_closed(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        [first] = await take_in(owner, held, mail(1))
        path = f"/v1/conversations/{first['conversation_id']}"
        closed = await owner.made(f"{path}/close", None)
        assert (closed["status"], closed["unread_count"]) == ("closed", 0)
        again = mail(2, references=["<m1@acme.example>"])
        await take_in(owner, held, again)
        found = (await owner.get(path)).json()
        assert (found["status"], found["unread_count"]) == ("open", 1)
        last = crm.events(found["id"])[-1]
        assert (last["type"], last["data"]["is_reopened"]) == ("conversation.opened", True)
        until = datetime.now(UTC) + timedelta(hours=1)
        slept = await owner.patch(path, {"snoozed_until": until.isoformat()}, version=found["version"])
        assert slept.json()["status"] == "snoozed"
        await take_in(owner, held, mail(3, references=["<m1@acme.example>"], kind="auto_reply"))
        assert (await owner.get(path)).json()["status"] == "snoozed"
        await take_in(owner, held, mail(4, references=["<m1@acme.example>"]))
        assert (await owner.get(path)).json()["status"] == "open"

    async def test_html_is_shown_without_what_runs_or_is_fetched(self, owner: Member) -> None:
        held = await account(owner)
        html = (
            '<p onclick="x()">Dear <b>all</b><script>alert(1)</script><img src="https://spy.example/p.gif">'
            '<a href="javascript:x()">a</a><a href="https://acme.example">b</a></p>\x00<style>p{}</style>'
        )
        [taken] = await take_in(owner, held, mail(text="", html=html.replace("\x00", "")))
        shown = (await owner.get(f"/v1/messages/{taken['message_id']}")).json()
        for bad in ("script", "img", "onclick", "style", "spy.example", "javascript"):
            assert bad not in shown["html"]
        assert "https://acme.example" in shown["html"]
        assert shown["text"].startswith("Dear all")

    async def test_edits_deletions_and_reading_are_noted_once(self, crm: Crm, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123")
        [taken] = await take_in(owner, held, mail(1, thread_key="7", provider_id="7:1", address="7"))
        reply = await owner.made(f"/v1/conversations/{taken['conversation_id']}/messages", {"text": "Yes"})
        [job] = await claim(owner, held)
        await result(owner, held, job, provider_id="7:2")
        now = datetime.now(UTC).isoformat()
        changes = [
            {"change": "edited", "provider_id": "7:1", "text": "Other words", "at": now},
            {"change": "removed", "provider_id": "7:1", "at": now},
            {"change": "read", "provider_id": "7:2", "thread_key": "7", "at": now},
            {"change": "removed", "provider_id": "7:99", "at": now},
        ]
        body = {"account_id": held["id"], "epoch": held["epoch"], "changes": changes}
        for changed in (3, 0):
            assert await owner.made("/v1/messages/changes", body) == {"changed": changed, "unknown": ["7:99"]}
        kinds = [event["type"] for event in crm.events(taken["message_id"])]
        assert kinds == ["message.received", "message.updated", "message.updated"]
        assert crm.events(reply["id"])[-1]["type"] == "message.read"
        shown = (await owner.get(f"/v1/messages/{taken['message_id']}")).json()
        assert shown["text"] == "Other words"
        assert shown["removed_at"] is not None

    async def test_a_connector_that_lost_its_lease_is_refused(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        path = f"/v1/bd-accounts/{held['id']}/lease"
        assert_problem(await owner.post(path, {"holder": "two"}), 409, "account_held")
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update bd_accounts set lease_until = now() where id = %s", (held["id"],))
        second = await owner.made(path, {"holder": "two"})
        assert second["epoch"] == held["epoch"] + 1
        stale = {"account_id": held["id"], "epoch": held["epoch"]}
        assert_problem(await owner.post("/v1/messages/inbound", stale | {"messages": [mail()]}), 409, "lease_lost")
        assert_problem(await owner.post("/v1/sends/claim", stale), 409, "lease_lost")


class TestSending:
    async def test_a_reply_is_queued_claimed_and_sent_once(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        [taken] = await take_in(owner, held, mail(1))
        reply = await owner.made(f"/v1/conversations/{taken['conversation_id']}/messages", {"text": "With pleasure"})
        assert reply["state"] == "queued"
        jobs = await asyncio.gather(*(claim(owner, held) for _ in range(4)))
        [job] = [one for found in jobs for one in found]
        assert (job["address"], job["subject"], job["references"]) == (
            "Ada@acme.example",
            "Re: 400 seats",
            ["<m1@acme.example>"],
        )
        assert str(job["send_id"]) in job["provider_id"]
        sent = await result(owner, held, job)
        assert (sent["state"], sent["id"]) == ("sent", reply["id"])
        await result(owner, held, job)  # told twice is known
        kinds = [event["type"] for event in crm.events(reply["id"])]
        assert kinds == ["message.queued", "message.sent"]
        await take_in(owner, held, mail(9, provider_id=job["provider_id"], direction="out"))
        shown = (await owner.get(f"/v1/conversations/{taken['conversation_id']}/messages")).json()["items"]
        assert len(shown) == 2

    async def test_files_go_with_a_message_where_the_channel_takes_them(
        self, crm: Crm, owner: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = await account(owner)
        [taken] = await take_in(owner, held, mail(1))
        path = f"/v1/conversations/{taken['conversation_id']}/messages"
        about = {"message_id": taken["message_id"]}
        file = (await owner.http.post("/v1/files", files={"file": ("offer.pdf", b"%PDF-1.4")}, data=about)).json()
        reply = await owner.made(path, {"text": "Our offer", "file_ids": [file["id"]]})
        described = {"name": "offer.pdf", "type": file["media_type"], "size": 8, "file_id": file["id"]}
        assert reply["details"]["attachments"] == [described]
        [job] = await claim(owner, held)
        assert job["files"] == [described]
        unknown = await owner.post(path, {"text": "x", "file_ids": [taken["message_id"]]})
        assert_problem(unknown, 422, "unknown_reference")
        monkeypatch.setattr(enclosing, "LARGEST_TOGETHER", 7)
        assert_problem(await owner.post(path, {"text": "x", "file_ids": [file["id"]]}), 422, "files_too_large")
        rep = crm.member(owner.organization_id, Role.REP)
        assert (await rep.get(f"/v1/files/{file['id']}")).status_code == 404
        conversation = f"/v1/conversations/{taken['conversation_id']}"
        await owner.patch(conversation, {"assignee_id": str(rep.user_id)}, version=1)
        assert (await rep.get(f"/v1/files/{file['id']}")).status_code == 200
        other = await account(owner, channel="x", address="@us")
        body = {"account_id": other["id"], "address": "@ada", "text": "x", "file_ids": [file["id"]]}
        assert_problem(await owner.post("/v1/conversations", body), 422, "files_not_taken")

    async def test_what_a_dead_connector_left_is_unknown_until_somebody_decides(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        started = await owner.made(
            "/v1/conversations",
            {"account_id": held["id"], "address": "bob@acme.example", "subject": "Hi", "text": "Hello"},
        )
        assert len(await claim(owner, held)) == 1
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update bd_accounts set lease_until = now() where id = %s", (held["id"],))
        second = held | await owner.made(f"/v1/bd-accounts/{held['id']}/lease", {"holder": "two"})
        assert await claim(owner, second) == []
        [unknown] = (await owner.get("/v1/messages", params={"state": "unknown"})).json()["items"]
        assert (unknown["conversation_id"], unknown["failure"]) == (started["id"], "connector_lost")
        assert crm.events(unknown["id"])[-1]["data"]["is_unknown"] is True
        await owner.made(f"/v1/messages/{unknown['id']}/retry", None)
        assert len(await claim(owner, second)) == 1

    async def test_telegram_is_asked_again_by_the_same_send(self, crm: Crm, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123")
        await owner.made("/v1/conversations", {"account_id": held["id"], "address": "@ada", "text": "Hello"})
        [first] = await claim(owner, held)
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update bd_accounts set lease_until = now() where id = %s", (held["id"],))
        second = held | await owner.made(f"/v1/bd-accounts/{held['id']}/lease", {"holder": "two"})
        [again] = await claim(owner, second)
        assert (again["send_id"], again["attempts"]) == (first["send_id"], 2)

    async def test_one_seen_at_the_provider_by_its_words_is_the_one_that_is_unsettled(self, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123")
        started = await owner.made("/v1/conversations", {"account_id": held["id"], "address": "7", "text": "Hello"})
        [job] = await claim(owner, held)
        seen = mail(1, provider_id="7:5", thread_key="7", address="7", direction="out", text="Hello ")
        [taken] = await take_in(owner, held, seen)
        assert (taken["is_new"], taken["message_id"]) == (False, job["message_id"])
        [message] = (await owner.get(f"/v1/conversations/{started['id']}/messages")).json()["items"]
        assert message["state"] == "sent"

    async def test_a_bounce_fails_the_message_and_suppresses_its_address(self, owner: Member) -> None:
        held = await account(owner)
        body = {"account_id": held["id"], "address": "Gone@acme.example", "subject": "Hi", "text": "Hello"}
        started = await owner.made("/v1/conversations", body)
        [job] = await claim(owner, held)
        await result(owner, held, job)
        bounced = {
            "provider_id": job["provider_id"],
            "address": "gone@acme.example",
            "status": "5.1.1",
            "is_hard": True,
        }
        [taken] = await take_in(
            owner, held, mail(1, kind="bounce", bounced=bounced, references=[job["provider_id"]], address="mailer@x")
        )
        assert taken["conversation_id"] == started["id"]
        message = (await owner.get(f"/v1/messages/{job['message_id']}")).json()
        assert (message["state"], message["failure"]) == ("failed", "bounced")
        await owner.made("/v1/conversations", body)
        assert await claim(owner, held) == []
        [refused] = (await owner.get("/v1/messages", params={"state": "failed"})).json()["items"][:1]
        assert refused["failure"] == "suppressed"

    async def test_a_report_that_somebody_made_up_ends_nobody(self, owner: Member) -> None:
        held = await account(owner)
        body = {"account_id": held["id"], "address": "ada@acme.example", "subject": "Hi", "text": "Hello"}
        await owner.made("/v1/conversations", body)
        [job] = await claim(owner, held)
        await result(owner, held, job)
        [theirs] = await take_in(owner, held, mail(1))
        said = {"address": "victim@acme.example", "status": "5.1.1", "is_hard": True}
        named = ("<made-up@x>", mail(1)["provider_id"], job["provider_id"], job["provider_id"])
        for number, known in enumerate(named, start=2):
            report = mail(number, kind="bounce", bounced={**said, "provider_id": known}, references=[known])
            await take_in(owner, held, report)
        assert theirs["is_new"]
        await owner.made("/v1/conversations", body | {"address": "victim@acme.example"})
        [job] = await claim(owner, held)
        assert job["address"] == "victim@acme.example"
        health = (await owner.get(f"/v1/bd-accounts/{held['id']}/health")).json()
        assert health["signs"] == {"bounced": 1}

    async def test_c5_nothing_is_claimed_before_a_flood_wait_ends(self, crm: Crm, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123")
        other = await account(owner, channel="telegram", address="+4930124")
        for one in (held, other):
            await owner.made("/v1/conversations", {"account_id": one["id"], "address": "@ada", "text": "Hello"})
        [job] = await claim(owner, held)
        path = f"/v1/bd-accounts/{held['id']}"
        await owner.made(f"{path}/state", {"state": "flood_wait", "reason": "flood_wait", "seconds": 300})
        await result(owner, held, job, "queued", seconds=300)
        assert await claim(owner, held) == []
        assert_problem(await owner.post(f"{path}/state", {"state": "active"}), 409, "account_still_waiting")
        assert len(await claim(owner, other)) == 1
        health = (await owner.get(f"{path}/health")).json()
        assert (health["health"], health["signs"]) == (0.5, {"flood_wait": 1})
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update bd_accounts set until = now() where id = %s", (held["id"],))
            admin.execute("update sends set not_before = now() where id = %s", (job["send_id"],))
        await owner.made(f"{path}/state", {"state": "active"})
        assert len(await claim(owner, held)) == 1

    async def test_peer_flood_stops_whatever_begins_and_lets_answers_go(self, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123", daily_limit=1)
        for address in ("@ada", "@bob"):
            await owner.made("/v1/conversations", {"account_id": held["id"], "address": address, "text": "Hello"})
        assert len(await claim(owner, held)) <= 2
        await owner.made(f"/v1/bd-accounts/{held['id']}/state", {"state": "limited", "reason": "peer_flood"})
        health = (await owner.get(f"/v1/bd-accounts/{held['id']}/health")).json()
        assert (health["health"], health["budget"]) == (0.0, 0)

    async def test_whom_nobody_answers_should_begin_less(self, crm: Crm, owner: Member) -> None:
        held = await account(owner, channel="telegram", address="+4930123")
        for number in range(21):
            body = {"account_id": held["id"], "address": f"@ada{number}", "text": "Hello"}
            await owner.made("/v1/conversations", body)
        for _ in range(3):
            for job in await claim(owner, held):
                await result(owner, held, job)
        path = f"/v1/bd-accounts/{held['id']}/health"
        assert (await owner.get(path)).json()["health"] == 1
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update sends set claimed_at = now() - interval '3 days'")
            admin.execute("update messages set occurred_at = now() - interval '3 days'")
        shown = (await owner.get(path)).json()
        assert (shown["written_to"], shown["answered"], shown["health"], shown["budget"]) == (21, 0, 0.5, 100)
        for number in range(2):
            await take_in(
                owner, held, mail(number, thread_key=f"@ada{number}", occurred_at=datetime.now(UTC).isoformat())
            )
        shown = (await owner.get(path)).json()
        assert (shown["answered"], shown["health"]) == (2, 1)


class TestPeople:
    async def test_assign_label_and_search(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        rep = crm.member(owner.organization_id, Role.REP)
        [taken] = await take_in(owner, held, mail(1, text="About the quorum"))
        path = f"/v1/conversations/{taken['conversation_id']}"
        assert (await rep.get(path)).status_code == 404
        body = {"assignee_id": str(rep.user_id), "labels": ["pricing"]}
        changed = await owner.patch(path, body, version=1)
        assert (changed.status_code, changed.json()["version"]) == (200, 3)
        assert (await rep.get(path)).json()["labels"] == ["pricing"]
        for wanted, found in (
            ({"q": "QUORUM"}, 1),
            ({"q": "nothing"}, 0),
            ({"label": "pricing"}, 1),
            ({"label": "x"}, 0),
        ):
            assert len((await rep.get("/v1/conversations", params=wanted)).json()["items"]) == found
        kinds = [event["type"] for event in crm.events(taken["conversation_id"])]
        assert kinds == ["conversation.opened", "conversation.assigned", "conversation.updated"]
        assert_problem(await owner.patch(path, {"labels": []}, version=1), 412)
        unknown = await owner.patch(path, {"assignee_id": str(held["id"])}, version=3)
        assert_problem(unknown, 422, "unknown_reference")

    async def test_a_note_is_for_colleagues_alone(self, crm: Crm, owner: Member) -> None:
        held = await account(owner)
        [taken] = await take_in(owner, held, mail(1))
        path = f"/v1/conversations/{taken['conversation_id']}"
        note = await owner.made(f"{path}/notes", {"text": "Ask Kim"})
        assert note["direction"] == "note"
        assert await claim(owner, held) == []
        assert crm.events(note["id"]) == []

    async def test_an_analyst_reads_and_strangers_do_not(self, crm: Crm, owner: Member, stranger: Member) -> None:
        held = await account(owner)
        [taken] = await take_in(owner, held, mail(1))
        path = f"/v1/conversations/{taken['conversation_id']}"
        analyst = crm.member(owner.organization_id, Role.ANALYST)
        assert (await analyst.get(path)).status_code == 200
        assert_problem(await analyst.post(f"{path}/messages", {"text": "x"}), 403)
        for tried in ("", "/messages"):
            assert_problem(await stranger.get(path + tried), 404)
        for tried in ("/close", "/notes", "/messages"):
            assert_problem(await stranger.post(path + tried, {"text": "x"}), 404)
        assert (await stranger.get("/v1/conversations")).json()["items"] == []

    async def test_canned_replies_come_and_go(self, owner: Member, stranger: Member) -> None:
        made = await owner.made("/v1/canned-replies", {"title": "Prices", "text": "Our prices"})
        assert (await owner.get("/v1/canned-replies")).json()["items"] == [made]
        assert (await stranger.get("/v1/canned-replies")).json()["items"] == []
        assert (await stranger.http.delete(f"/v1/canned-replies/{made['id']}")).status_code == 404
        assert (await owner.http.delete(f"/v1/canned-replies/{made['id']}")).status_code == 204
        assert (await owner.get("/v1/canned-replies")).json()["items"] == []


class TestAccounts:
    async def test_who_works_with_it_is_kept(self, crm: Crm, owner: Member) -> None:
        held = await account(owner, user_id=str(owner.user_id))
        rep = crm.member(owner.organization_id, Role.REP)
        path = f"/v1/bd-accounts/{held['id']}"
        await owner.made(f"{path}/assign", {"user_id": str(rep.user_id)})
        await owner.made(f"{path}/assign", {})
        times = (await owner.get(f"{path}/assignments")).json()["items"]
        assert [one["user_id"] for one in times] == [str(rep.user_id), str(owner.user_id)]
        assert all(one["ended_at"] for one in times)
        kinds = [event["type"] for event in crm.events(held["id"])]
        assert kinds == [f"bd_account.{one}" for one in ("created", "assigned", "connected", "assigned", "unassigned")]

    @pytest.mark.parametrize(
        ("states", "refused"),
        [(["banned"], "active"), (["revoked"], "active"), (["active", "revoked", "connecting", "active"], None)],
    )
    async def test_states_follow_one_another(self, owner: Member, states: list[str], refused: str | None) -> None:
        body = {"channel": "x", "name": "Ours", "address": "@ours"}
        made = await owner.made("/v1/bd-accounts", body)
        assert_problem(await owner.post("/v1/bd-accounts", body), 409, "address_taken")
        for state in states:
            await owner.made(f"/v1/bd-accounts/{made['id']}/state", {"state": state})
        if refused:
            answer = await owner.post(f"/v1/bd-accounts/{made['id']}/state", {"state": refused})
            assert_problem(answer, 409, "account_state_not_allowed")
