"""Campaigns as people build them: audience, preview, start, steps, answers, pausing, stopping."""

import asyncio
import threading
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from api.edge.consumer import consume
from api.edge.feed import Feed
from api.rules.automaton import Automaton
from contracts.access import Role
from ingest.channels.mail import compose
from tests.api.campaigns.conftest import MAIL, Outreach
from tests.api.rules.conftest import no_broker, until


async def test_a_campaign_goes_step_by_step_until_they_answer(outreach: Outreach) -> None:
    ada, bob = await outreach.contact("Ada Byron"), await outreach.contact("Bob Ross")
    campaign = await outreach.started()
    assert campaign["state"] == "running"
    first = await outreach.send_all()
    assert {(job["address"], job["text"].splitlines()[0]) for job in first} == {
        ("ada@acme.example", "Hello Ada"),
        ("bob@acme.example", "Hello Bob"),
    }
    assert await outreach.send_all() == []  # the next step waits for three days
    await outreach.arrives("ada@acme.example")
    outreach.hurry()
    [second] = await outreach.send_all()
    # into the same thread, as an answer to what came before
    assert (second["address"], second["subject"]) == ("bob@acme.example", "400 seats")
    assert second["references"] == [next(job["provider_id"] for job in first if job["address"][0] == "b")]
    ends = {one["contact_id"]: one["ending"] for one in await outreach.recipients(campaign)}
    assert ends == {ada["id"]: "replied", bob["id"]: "completed"}
    outreach.sequencer._looked_at = 0.0
    await outreach.turns()
    assert (await outreach.owner.read(f"/v1/campaigns/{campaign['id']}"))["state"] == "completed"
    kinds = [event["type"] for event in outreach.events()]
    assert kinds.count("campaign.step.sent") == 3
    assert kinds.count("campaign.replied") == 1
    assert kinds[-1] == "campaign.completed"


async def test_texts_and_names_stay_in_postgresql(outreach: Outreach) -> None:
    await outreach.contact("CANARYNAME Byron", "canaryaddress@acme.example")
    step = {"variants": [{"subject": "CANARYSUBJECT", "text": "CANARYTEXT"}]}
    await outreach.started(step, name="CANARYCAMPAIGN", basis_note="CANARYNOTE")
    await outreach.send_all()
    await outreach.arrives("canaryaddress@acme.example", "CANARYANSWER")
    assert "canary" not in str(outreach.events("%")).lower()


class TestAudience:
    async def test_who_is_left_out_is_said_with_the_reason(self, outreach: Outreach) -> None:
        company = await outreach.owner.made("/v1/companies", json={"name": "Initech"})
        other = await outreach.owner.made("/v1/companies", json={"name": "Umbrella"})
        busy = await outreach.contact("Busy Bee", "busy@acme.example")
        replied = await outreach.contact("Rita Replied", "rita@initech.example", company_id=company["id"])
        view = [["name", "in", ["Busy Bee", "Rita Replied"]]]
        await outreach.started(filter=view, name="An earlier one")
        await outreach.send_all()
        await outreach.arrives("rita@initech.example")
        wanted = {
            "Ann Other": (None, {}),
            "Twin One": ("same_address", {"email": "Twin@acme.example"}),
            "Twin Two": (None, {"email": "twin+news@ACME.example"}),
            "Colleague": ("colleague_replied", {"company_id": company["id"]}),
            "Elsewhere": (None, {"company_id": other["id"]}),
            "Gone": ("suppressed", {"email": "Gone@acme.example"}),
            "No Mail": ("no_address", {"email": None}),
        }
        for name, (_, fields) in wanted.items():
            await outreach.owner.made(
                "/v1/contacts", json={"name": name, "email": f"{name.split()[-1].lower()}@acme.example", **fields}
            )
        outreach.rows(
            "insert into suppressions (organization_id, id, channel, address, reason)"
            " values (%s, gen_random_uuid(), 'email', 'gone@acme.example', 'bounced')",
            outreach.owner.organization_id,
        )
        campaign = await outreach.campaign()
        found = await outreach.owner.read(f"/v1/campaigns/{campaign['id']}/audience")
        reasons = {one["name"]: one["reason"] for one in found["people"]}
        expected = {name: reason for name, (reason, _) in wanted.items()}
        assert reasons == expected | {"Busy Bee": "in_another_campaign", "Rita Replied": None}
        assert found["reasons"] == {
            "colleague_replied": 1, "in_another_campaign": 1, "no_address": 1, "same_address": 1, "suppressed": 1
        }  # fmt: skip
        assert (found["included"], found["excluded"]) == (4, 5)
        await outreach.owner.made(f"/v1/campaigns/{campaign['id']}/start")
        kept = {one["contact_id"]: one["reason"] for one in await outreach.recipients(campaign, state="excluded")}
        assert kept[busy["id"]] == "in_another_campaign"
        assert replied["id"] not in kept
        assert {job["address"] for job in await outreach.send_all()} == {
            "rita@initech.example", "other@acme.example", "twin+news@acme.example", "elsewhere@acme.example"
        }  # fmt: skip

    async def test_a_saved_view_and_a_filter_narrow_it_and_reps_reach_their_own(self, outreach: Outreach) -> None:
        rep = await outreach.owner.add_user(role=Role.REP, record_scope="own")
        other = await outreach.contact("Ada")
        mine = await rep.made("/v1/contacts", json={"name": "Adam", "email": "adam@acme.example"})
        await rep.made("/v1/contacts", json={"name": "Bob", "email": "bob@acme.example"})
        view = await rep.made(
            "/v1/views", json={"name": "A", "record_kind": "contact", "filter": [["name", "contains", "a"]]}
        )
        body = {"name": "Mine", "view_id": view["id"], "steps": [MAIL], "filter": [["email", "empty", False]]}
        campaign = await rep.made("/v1/campaigns", json=body)
        found = await rep.read(f"/v1/campaigns/{campaign['id']}/audience")
        assert [one["contact_id"] for one in found["people"]] == [mine["id"]]
        # whom they do not see they neither read by a preview nor speak for
        for contact, status in ((mine, 200), (other, 404)):
            asked = {"contact_id": contact["id"]}
            assert (await rep.get(f"/v1/campaigns/{campaign['id']}/preview", params=asked)).status_code == status
        assert (await rep.post("/v1/consents", json={"contact_id": other["id"], "source": "x"})).status_code == 422
        # one that is somebody else's, or of deals, is refused when it is named; the one that it has may stay
        deals = await rep.made("/v1/views", json={"name": "D", "record_kind": "deal", "filter": []})
        for who, named, code in (
            (outreach.owner, view, "unknown_reference"),
            (rep, deals, "wrong_view"),
        ):
            answer = await who.post("/v1/campaigns", json={"name": "X", "view_id": named["id"], "steps": [MAIL]})
            assert (answer.status_code, answer.json()["code"]) == (422, code)
        at = f"/v1/campaigns/{campaign['id']}"
        changed = await outreach.owner.patch(
            at, json={"name": "Ours", "view_id": view["id"]}, headers={"If-Match": '"1"'}
        )
        assert (changed.status_code, changed.json()["view_id"]) == (200, view["id"])

    async def test_consent_is_asked_for_where_it_is_the_ground(self, outreach: Outreach) -> None:
        agreed, silent = await outreach.contact("Ada"), await outreach.contact("Bob")
        took_back = await outreach.contact("Cid")
        for one in (agreed, took_back):
            consent = await outreach.owner.made("/v1/consents", json={"contact_id": one["id"], "source": "Fair"})
        await outreach.owner.made(f"/v1/consents/{consent['id']}/withdraw")
        campaign = await outreach.started(legal_basis="consent")
        assert [job["address"] for job in await outreach.send_all()] == ["ada@acme.example"]
        excluded = {one["contact_id"]: one["reason"] for one in await outreach.recipients(campaign, state="excluded")}
        assert excluded == {silent["id"]: "no_consent", took_back["id"]: "no_consent"}


class TestStarting:
    @pytest.mark.parametrize(
        ("lacks", "code"),
        [
            ({"legal_basis": None}, "legal_basis_missing"),
            ({"basis_note": None}, "legal_basis_missing"),
            ({"steps": []}, "campaign_incomplete"),
            ({"account_ids": []}, "campaign_incomplete"),
            ({"filter": [["name", "=", "Nobody"]]}, "nobody_in_audience"),
        ],
    )
    async def test_what_lacks_is_said(self, outreach: Outreach, lacks: dict[str, Any], code: str) -> None:
        await outreach.contact("Ada")
        campaign = await outreach.campaign(**lacks)
        answer = await outreach.owner.post(f"/v1/campaigns/{campaign['id']}/start")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (
            outreach.rows(
                "select 1 from campaign_recipients where organization_id = %s", outreach.owner.organization_id
            )
            == []
        )

    async def test_a_field_that_somebody_lacks_is_an_error_that_names_both(self, outreach: Outreach) -> None:
        await outreach.contact("Ada Byron")
        step = {"variants": [{"subject": "Hi", "text": "How is {{company.name}}? {{deal.title | your plan}}"}]}
        campaign = await outreach.campaign(step)
        answer = await outreach.owner.post(f"/v1/campaigns/{campaign['id']}/start")
        assert (answer.status_code, answer.json()["code"]) == (422, "merge_field_missing")
        assert "Ada Byron has no company.name, which step 1 names" in answer.json()["detail"]
        contact = (await outreach.owner.read("/v1/contacts"))["items"][0]
        preview = await outreach.owner.read(
            f"/v1/campaigns/{campaign['id']}/preview", params={"contact_id": contact["id"]}
        )
        [wording] = preview["wordings"]
        words = wording["text"].split("\n\n-- \n")
        assert (words[0], wording["missing"]) == ("How is ? your plan", ["company.name"])
        assert words[1].startswith("To get no more of these mails: ")
        assert (wording["sender"], wording["address"]) == ("sales@us.example", "ada@acme.example")

    @pytest.mark.parametrize(
        ("step", "code"),
        [
            ({"variants": [{"subject": "a", "text": "{{contact.password}}"}]}, "bad_template"),
            ({"variants": [{"subject": "a", "text": "{{ contact.name"}]}, "bad_template"),
            ({**MAIL, "when": "contact.shoe_size > 3"}, "bad_condition"),
            ({**MAIL, "when": "contact.name +"}, "bad_condition"),
        ],
    )
    async def test_a_step_that_cannot_work_is_refused(
        self, outreach: Outreach, step: dict[str, Any], code: str
    ) -> None:
        answer = await outreach.owner.post("/v1/campaigns", json={"name": "Bad", "steps": [step]})
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    async def test_what_has_started_is_not_changed(self, outreach: Outreach) -> None:
        await outreach.contact("Ada")
        campaign = await outreach.started()
        answer = await outreach.owner.patch(f"/v1/campaigns/{campaign['id']}", json={"name": "Other"})
        assert (answer.status_code, answer.json()["code"]) == (409, "campaign_not_allowed")


class TestStopping:
    async def test_a_paused_campaign_sends_nothing_and_goes_on_where_it_was(self, outreach: Outreach) -> None:
        await outreach.contact("Ada")
        campaign = await outreach.started()
        await outreach.turns()  # queued, not claimed
        await outreach.owner.made(f"/v1/campaigns/{campaign['id']}/pause")
        outreach.hurry()
        await outreach.turns()
        assert await outreach.claim() == []
        await outreach.owner.made(f"/v1/campaigns/{campaign['id']}/resume")
        assert len(await outreach.send_all()) == 1
        assert await outreach.send_all() == []

    async def test_it_ends_for_a_person_a_company_or_all(self, outreach: Outreach) -> None:
        company = await outreach.owner.made("/v1/companies", json={"name": "Initech"})
        ada = await outreach.contact("Ada")
        for name in ("Bob", "Cid"):
            await outreach.contact(name, company_id=company["id"])
        await outreach.contact("Dan")
        campaign = await outreach.started()
        await outreach.turns()
        path = f"/v1/campaigns/{campaign['id']}"
        progress = await outreach.owner.read(f"{path}/progress")
        assert (progress["begun"], progress["allowance"]) == (4, 10_000)
        assert [(one["state"], one["room"]) for one in progress["accounts"]] == [("active", 1_000)]
        assert {one["name"] for one in await outreach.recipients(campaign)} == {"Ada", "Bob", "Cid", "Dan"}
        assert await outreach.owner.made(f"{path}/stop", json={"contact_id": ada["id"]}) == {"stopped": 1}
        assert await outreach.owner.made(f"{path}/stop", json={"company_id": company["id"]}) == {"stopped": 2}
        [job] = await outreach.claim(limit=1)
        assert job["address"] == "dan@acme.example"
        await outreach.owner.made(f"{path}/cancel")
        await outreach.tell(job)
        await outreach.hear()
        outreach.hurry()
        assert await outreach.send_all() == []

    async def test_one_who_answers_ends_it_for_their_company(self, outreach: Outreach) -> None:
        company = await outreach.owner.made("/v1/companies", json={"name": "Initech"})
        for name in ("Bob", "Cid"):
            await outreach.contact(name, company_id=company["id"])
        campaign = await outreach.started()
        await outreach.send_all()
        await outreach.arrives("bob@acme.example")
        found = {one["ending"]: one["reason"] for one in await outreach.recipients(campaign)}
        assert found == {"replied": None, "stopped": "colleague_replied"}

    async def test_who_is_away_is_left_alone_for_a_while_and_an_own_message_is_no_answer(
        self, outreach: Outreach
    ) -> None:
        await outreach.contact("Ada")
        campaign = await outreach.started(away_days=30)
        [sent] = await outreach.send_all()
        before = (await outreach.one(campaign))["due_at"]
        # an own follow-up, written elsewhere
        await outreach.arrives("ada@acme.example", "By the way", direction="out", references=[sent["provider_id"]])
        assert (await outreach.one(campaign))["state"] == "waiting"
        await outreach.arrives("ada@acme.example", "I am away", kind="auto_reply", references=[sent["provider_id"]])
        after = await outreach.one(campaign)
        assert (after["state"], after["replied_at"]) == ("waiting", None)
        assert after["due_at"] > before

    async def test_what_came_back_ends_it_and_nothing_goes_there_again(self, outreach: Outreach) -> None:
        await outreach.contact("Ada")
        campaign = await outreach.started()
        [sent] = await outreach.send_all()
        bounced = {"provider_id": sent["provider_id"], "address": "ada@acme.example", "is_hard": True}
        await outreach.arrives(
            "mailer-daemon@acme.example", "5.1.1", kind="bounce", bounced=bounced, references=[sent["provider_id"]]
        )
        assert (await outreach.one(campaign))["ending"] == "bounced"
        again = await outreach.campaign()
        found = await outreach.owner.read(f"/v1/campaigns/{again['id']}/audience")
        assert found["reasons"] == {"suppressed": 1}


async def test_steps_have_conditions_tasks_and_variants(outreach: Outreach) -> None:
    [pipeline] = (await outreach.owner.read("/v1/pipelines"))["items"]
    for name, amount in (("Ada", 200_00), ("Bob", 5_00)):
        contact = await outreach.contact(name)
        await outreach.owner.made(
            "/v1/deals",
            json={
                "title": f"{name}'s",
                "pipeline_id": pipeline["id"],
                "contact_id": contact["id"],
                "amount_minor": amount,
            },
        )
    campaign = await outreach.started(
        {**MAIL, "when": "deal.amount > 100.0", "otherwise": "stop"},
        {"kind": "task", "variants": [{"subject": "Call {{contact.name}}", "text": "About {{deal.title}}"}]},
    )
    assert [job["address"] for job in await outreach.send_all()] == ["ada@acme.example"]
    await outreach.turns()
    [task] = (await outreach.owner.read("/v1/tasks"))["items"]
    assert (task["title"], task["body"]) == ("Call Ada", "About Ada's")
    assert {one["ending"] for one in await outreach.recipients(campaign)} == {"completed", "stopped"}
    progress = await outreach.owner.read(f"/v1/campaigns/{campaign['id']}/progress")
    assert [(one["step"], one["state"], one["touches"]) for one in progress["touches"]] == [
        (1, "skipped", 1), (1, "sent", 1), (2, "sent", 1)
    ]  # fmt: skip


async def test_a_mail_in_html_has_a_text_beside_it_and_runs_and_fetches_nothing(outreach: Outreach) -> None:
    await outreach.contact("<b>Ada</b> Byron", "ada@acme.example")
    html = (
        '<p>Hello {{contact.first_name}}, <a href="https://us.example/seats">look</a></p><script>x()</script>'
        '<img src="https://t.example/p.gif"><a href="javascript:x()">here</a><p onclick="x()">Bye</p>'
    )
    campaign = await outreach.started({"variants": [{"subject": "Seats", "text": "Hello", "html": html}]})
    preview = await outreach.owner.read(
        f"/v1/campaigns/{campaign['id']}/preview", params={"contact_id": (await outreach.one(campaign))["contact_id"]}
    )
    [job] = await outreach.send_all()
    assert "<p>Hello &lt;b&gt;Ada&lt;/b&gt;, <a href=" in job["html"]
    assert job["html"].partition("<p><a href")[0] == preview["wordings"][0]["html"].partition("<p><a href")[0]
    assert not [bad for bad in ("<script", "x()", "<img", "t.example", "javascript:") if bad in job["html"]]
    way_out = job["headers"]["List-Unsubscribe"].strip("<>")
    assert way_out in job["html"]
    assert way_out in job["text"]
    mail = compose(job, sender="sales@us.example")
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    refused = await outreach.owner.post(
        "/v1/campaigns", json={"name": "T", "steps": [{"kind": "telegram", "variants": [{"text": "a", "html": "b"}]}]}
    )
    assert (refused.status_code, "only mails have HTML" in refused.text) == (422, True)


async def test_a_stranger_sees_and_reaches_none_of_it(outreach: Outreach) -> None:
    contact = await outreach.contact("Ada")
    campaign = await outreach.campaign()
    stranger = await outreach.owner.api.sign_up()
    for verb, path, body in (
        ("GET", "", None), ("GET", "/audience", None), ("GET", f"/preview?contact_id={contact['id']}", None),
        ("POST", "/start", None), ("POST", "/pause", None), ("POST", "/stop", {"contact_id": contact["id"]}),
        ("GET", "/recipients", None), ("GET", "/progress", None),
    ):  # fmt: skip
        answer = await stranger.call(verb, f"/v1/campaigns/{campaign['id']}{path}", json=body)
        assert answer.status_code == 404, (verb, path, answer.text)
    assert (await stranger.post("/v1/consents", json={"contact_id": contact["id"], "source": "x"})).status_code == 422
    assert UUID(campaign["id"])


async def test_a_rule_adds_somebody_to_a_campaign_once(outreach: Outreach) -> None:
    await outreach.contact("Ada")
    campaign = await outreach.started(MAIL)
    rule = {
        "trigger": {"kind": "event", "event": "contact.created"},
        "actions": [{"do": "campaign.add", "with": {"campaign_id": campaign["id"]}}],
    }
    made = await outreach.owner.made("/v1/rules", json={"name": "Add", "mode": "live", "document": rule})
    automaton, feed = Automaton(outreach.pool), Feed(outreach.pool, connect=no_broker)
    task = asyncio.create_task(
        consume(
            outreach.pool,
            "rules",
            automaton.handle,
            threading.Event(),
            glance=automaton.glance,
            concerns=automaton.concerns,
            feed=feed,
        )
    )
    await outreach.contact("Warm up", "warm@acme.example")
    await until(lambda: bool(outreach.rows("select 1 from consumers where consumer = 'rules'")))
    bob = await outreach.contact("Bob")
    await until(
        lambda: bool(outreach.rows("select 1 from rule_runs where subject_id = %s and outcome <> ''", bob["id"]))
    )
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert made["mode"] == "live"
    assert [one["contact_id"] for one in await outreach.recipients(campaign, contact_id=bob["id"])] == [bob["id"]]
