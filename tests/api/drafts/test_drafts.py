"""Drafts: written by a model, decided on by a person, sent word for word."""

import asyncio

import pytest

from contracts.access import Role
from tests.api.drafts.conftest import Desk, use_model
from tests.factories import PASSWORD
from tests.model_server import ObedientModel, mock_model


async def approved(desk: Desk) -> dict[str, object]:
    draft = await desk.draft()
    return await desk.owner.made(f"/v1/drafts/{draft['id']}/approve", json={"text_hash": draft["text_hash"]})


class TestLife:
    async def test_a_reply_is_drafted_approved_and_sent_word_for_word(self, desk: Desk, model: ObedientModel) -> None:
        model.says = {"text": "400 seats cost €1,000.", "cited": ["message.1", "deal.amount_in_minor_units", "made up"]}
        draft = await desk.draft(wish="Say the price")
        assert (draft["state"], draft["prompt"], draft["model"]) == ("generated", "reply@1", "small")
        assert draft["cited"] == ["deal.amount_in_minor_units", "message.1"]
        assert (draft["input_tokens"], draft["output_tokens"], draft["cost_micro"]) == (1_000, 50, 350)
        path = f"/v1/drafts/{draft['id']}"
        refused = await desk.owner.post(f"{path}/send")
        assert (refused.status_code, refused.json()["code"]) == (409, "draft_not_approved")
        await desk.owner.made(f"{path}/approve", json={"text_hash": draft["text_hash"]})
        sent = await desk.owner.made(f"{path}/send")
        assert sent["state"] == "sent"
        [job] = await desk.waiting()
        assert job["text"] == "400 seats cost €1,000."
        types = [kind for kind, _ in desk.events(draft["id"])]
        assert types == ["ai.draft.generated", "ai.draft.approved", "ai.draft.sent"]
        assert "seats" not in str(desk.events(draft["id"]))
        [_, (_, queued)] = [desk.events(draft["id"])[0], desk.events(sent["message_id"])[0]]
        assert (queued["source"], queued["source_id"]) == ("draft", draft["id"])

    @pytest.mark.usefixtures("model")
    async def test_changing_the_text_takes_the_approval_back(self, desk: Desk) -> None:
        draft = await approved(desk)
        path = f"/v1/drafts/{draft['id']}"
        edited = (await desk.owner.patch(path, json={"text": "Another text"})).json()
        assert (edited["state"], edited["approved_by"]) == ("edited", None)
        assert (await desk.owner.post(f"{path}/send")).status_code == 409
        stale = await desk.owner.post(f"{path}/approve", json={"text_hash": draft["text_hash"]})
        assert (stale.status_code, stale.json()["code"]) == (409, "draft_changed")
        await desk.owner.made(f"{path}/approve", json={"text_hash": edited["text_hash"]})
        _, facts = desk.events(str(draft["id"]))[-1]
        assert facts["is_edited"] is True

    @pytest.mark.usefixtures("model")
    async def test_a_draft_is_sent_once(self, desk: Desk) -> None:
        draft = await approved(desk)
        answers = await asyncio.gather(*(desk.owner.post(f"/v1/drafts/{draft['id']}/send") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
        assert len(await desk.waiting()) == 1

    @pytest.mark.usefixtures("model")
    async def test_what_was_rejected_is_over(self, desk: Desk) -> None:
        draft = await desk.draft()
        path = f"/v1/drafts/{draft['id']}"
        assert (await desk.owner.made(f"{path}/reject"))["state"] == "rejected"
        for verb, body in (("approve", {"text_hash": draft["text_hash"]}), ("send", None), ("reject", None)):
            assert (await desk.owner.post(f"{path}/{verb}", json=body)).json()["code"] == "draft_closed"

    async def test_the_same_request_again_is_the_same_draft(self, desk: Desk, model: ObedientModel) -> None:
        body = {"kind": "summary", "deal_id": desk.deal_id}
        first, second = [
            await desk.owner.made("/v1/drafts", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)
        ]
        assert first["id"] == second["id"]
        assert len(model.asked) == 1
        refused = await desk.owner.post(f"/v1/drafts/{first['id']}/send")
        assert refused.json()["code"] == "nothing_to_send"

    async def test_the_next_action_is_one_of_a_few(self, desk: Desk, model: ObedientModel) -> None:
        for says, action in (("call", "call"), ("transfer all money", None)):
            model.says = {"text": "Call her.", "cited": ["deal.stage"], "action": says}
            draft = await desk.owner.made("/v1/drafts", json={"kind": "next_action", "deal_id": desk.deal_id})
            assert draft["action"] == action

    async def test_it_is_shown_as_it_is_written(self, desk: Desk, model: ObedientModel) -> None:
        model.says = {"text": "A text of some length, in parts.", "cited": []}
        body = {"kind": "reply", "conversation_id": desk.conversation_id}
        answer = await desk.owner.post("/v1/drafts/stream", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        kinds = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
        assert kinds.count("text") > 2
        assert kinds[-1] == "draft"
        assert "in parts." in answer.text


class TestWho:
    async def test_c6_what_is_written_while_its_contact_is_erased_is_not_kept(
        self, desk: Desk, model: ObedientModel
    ) -> None:
        model.says = {"text": "{document}", "cited": []}
        model.may_answer.clear()
        body = {"kind": "reply", "conversation_id": desk.conversation_id}
        writing = asyncio.create_task(desk.owner.post("/v1/drafts", json=body))
        while not model.asked:  # noqa: ASYNC110 # the model is a thread
            await asyncio.sleep(0.02)
        await desk.owner.made(f"/v1/contacts/{desk.contact_id}/erase")
        model.may_answer.set()
        refused = await writing
        assert (refused.status_code, "erased while it was written" in refused.json()["detail"]) == (503, True)
        [draft] = (await desk.owner.read("/v1/drafts"))["items"]
        assert (draft["state"], draft["text"]) == ("failed", "")
        model.says = {"text": "Good day.", "cited": []}
        assert (await desk.draft())["text"] == "Good day."  # what was read since then is free of them

    async def test_others_see_and_send_none_of_it(self, desk: Desk, model: ObedientModel) -> None:
        draft = await desk.draft()
        rep = await desk.owner.add_user(role=Role.REP)
        analyst = await desk.owner.add_user(role=Role.ANALYST)
        assert (await rep.get(f"/v1/drafts/{draft['id']}")).status_code == 404
        body = {"kind": "reply", "conversation_id": desk.conversation_id}
        assert (await rep.post("/v1/drafts", json=body)).status_code == 404
        assert (await rep.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})).status_code == 404
        assert (await analyst.post("/v1/drafts", json=body)).status_code == 403
        stranger = await desk.owner.api.sign_up()
        assert (await stranger.get(f"/v1/drafts/{draft['id']}")).status_code == 404
        assert PASSWORD not in str(model.asked)

    @pytest.mark.parametrize(
        "body", [{"kind": "reply"}, {"kind": "summary"}, {"kind": "poem"}, {"kind": "reply", "wish": "x" * 501}, {}]
    )
    @pytest.mark.usefixtures("model")
    async def test_what_cannot_be_drafted_is_refused(self, desk: Desk, body: dict[str, str]) -> None:
        assert (await desk.owner.post("/v1/drafts", json=body)).status_code == 422


class TestModel:
    async def test_without_a_key_drafts_are_off(self, desk: Desk) -> None:
        refused = await desk.owner.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})
        assert (refused.status_code, refused.json()["code"]) == (409, "ai_off")
        assert "SLUICE_OPENAI_API_KEY" in (await desk.owner.read("/v1/drafts/settings"))["off_because"]

    async def test_an_answer_that_is_cut_off_is_none(self, desk: Desk, model: ObedientModel) -> None:
        model.ends = False
        body = {"kind": "reply", "conversation_id": desk.conversation_id}
        refused = await desk.owner.post("/v1/drafts", json=body, headers={"Idempotency-Key": "again"})
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        [failed] = (await desk.owner.read("/v1/drafts"))["items"]
        assert (failed["state"], failed["text"]) == ("failed", "")
        model.ends = True
        again = await desk.owner.made("/v1/drafts", json=body, headers={"Idempotency-Key": "again"})
        assert (again["id"], again["state"]) == (failed["id"], "generated")

    @pytest.mark.usefixtures("model")
    async def test_the_months_budget_holds(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_AI_MONTHLY_BUDGET", "600")
        await desk.draft()
        await desk.draft()
        refused = await desk.owner.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})
        assert (refused.status_code, refused.json()["code"]) == (402, "ai_budget_spent")

    async def test_an_organization_says_what_drafts_may_cost_and_what_they_see(
        self, desk: Desk, model: ObedientModel
    ) -> None:
        path = "/v1/drafts/settings"
        refused = await desk.owner.call("PUT", path, json={"monthly_budget": 20_000_001})
        assert (refused.status_code, refused.json()["code"]) == (422, "budget_too_large")
        rep = await desk.owner.add_user(role=Role.REP)
        assert (await rep.call("PUT", path, json={})).status_code == 403
        body = {"monthly_budget": 300, "hides_people": False, "link_hosts": ["Docs.US.example"]}
        assert (await desk.owner.call("PUT", path, json=body)).status_code == 200
        model.says = {"text": "See https://docs.us.example/a and https://evil.example/b", "cited": []}
        assert (await desk.draft())["text"] == "See https://docs.us.example/a and [link removed]"
        assert "Ada Lovelace" in model.asked[0]["messages"][1]["content"]
        refused = await desk.owner.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})
        assert (refused.status_code, refused.json()["code"]) == (402, "ai_budget_spent")
        said = await desk.owner.read(path)
        assert (said["budget_micro"], said["hides_people"], said["spent_micro"]) == (300, False, 350)
        assert said["policy"]["link_hosts"] == ["docs.us.example"]
        other = await desk.owner.api.sign_up()
        assert (await other.read(path))["budget_micro"] == 20_000_000

    async def test_another_model_writes_where_the_first_one_fails(
        self, desk: Desk, model: ObedientModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_OPENAI_FALLBACK_MODEL", "spare")
        model.refuses = ("small",)
        assert (await desk.draft())["model"] == "spare"

    async def test_a_busy_endpoint_is_asked_again(self, desk: Desk, model: ObedientModel) -> None:
        model.busy = 1
        assert (await desk.draft())["state"] == "generated"
        assert len(model.asked) == 2

    async def test_what_drips_is_given_up_in_time(
        self, desk: Desk, model: ObedientModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_OPENAI_SECONDS", "0.5")
        model.says, model.pause = {"text": "x" * 700, "cited": []}, 0.1  # ten seconds in all
        refused = await desk.owner.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        assert "took too long" in refused.json()["detail"]

    async def test_an_endpoint_that_keeps_failing_is_left_alone(self, desk: Desk, model: ObedientModel) -> None:
        model.refuses = ("small",)
        body = {"kind": "summary", "deal_id": desk.deal_id}
        answers = [await desk.owner.post("/v1/drafts", json=body) for _ in range(6)]
        assert {answer.status_code for answer in answers} == {503}
        assert len(model.asked) == 5
        assert "the next try is in" in answers[-1].json()["detail"]

    async def test_whether_they_are_on_and_what_they_cost_is_said(self, desk: Desk, model: ObedientModel) -> None:
        await desk.draft()
        model.says = {"text": "{instructions}", "cited": []}  # thrown away, and paid for
        await desk.owner.post("/v1/drafts", json={"kind": "summary", "deal_id": desk.deal_id})
        said = await desk.owner.read("/v1/drafts/settings")
        assert (said["is_on"], said["model"], said["spent_micro"], said["hides_people"]) == (True, "small", 700, True)
        await desk.owner.call("PUT", "/v1/feature-flags/ai_drafts", json={"is_on": False})
        said = await desk.owner.read("/v1/drafts/settings")
        assert (said["is_on"], "owner" in said["off_because"]) == (False, True)

    async def test_another_implementation_of_the_protocol_is_understood(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with mock_model() as url:
            use_model(monkeypatch, url)
            assert (await desk.draft())["state"] == "generated"

    @pytest.mark.parametrize(
        "faults", [("--error-rate", "503=1.0"), ("--stream-fault", "truncate=1.0"), ("--stream-fault", "malformed=1.0")]
    )
    async def test_its_faults_are_told_and_nothing_is_drafted(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, faults: tuple[str, ...]
    ) -> None:
        with mock_model(*faults) as url:
            use_model(monkeypatch, url, OPENAI_SECONDS="5")
            body = {"kind": "reply", "conversation_id": desk.conversation_id}
            refused = await desk.owner.post("/v1/drafts", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        [failed] = (await desk.owner.read("/v1/drafts"))["items"]
        assert failed["state"] == "failed"
