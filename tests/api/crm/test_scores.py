"""`/v1/scores`: models come as shadows, one scores, and what it says is kept."""

from typing import Any
from uuid import UUID, uuid4

from api.scores.rules import is_held_out
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

AT = "2026-05-30T09:15:00Z"


def model(verdict: str = "published") -> dict[str, Any]:
    card = {"verdict": verdict, "reasons": ["because"], "auc": 0.7}
    return {
        "artefact": "AAAA",
        "sha256": "0" * 64,
        "card": card,
        "data_version": "v1",
        "code_version": "1",
        "horizon_days": 90,
    }


async def promoted(owner: Member) -> str:
    made = await owner.made("/v1/scores/models", model())
    await owner.made(f"/v1/scores/models/{made['id']}/promote", None)
    return str(made["id"])


async def scored_deal(owner: Member) -> dict[str, Any]:
    while True:
        deal = await owner.deal()
        if not is_held_out(UUID(deal["id"])):
            return deal


def score(deal: dict[str, Any], value: float) -> dict[str, Any]:
    reasons = [{"column": "source", "words": "Source “web” raises the odds by 20 %", "effect": 0.18}]
    return {"deal_id": deal["id"], "score": value, "reasons": reasons, "scored_at": AT}


async def scored_contact(owner: Member) -> dict[str, Any]:
    while True:
        contact = await owner.made("/v1/contacts", {"name": "Ann"})
        if not is_held_out(UUID(contact["id"])):
            return contact


def lead_score(contact: dict[str, Any], value: float) -> dict[str, Any]:
    return {"contact_id": contact["id"], "score": value, "reasons": [], "scored_at": AT}


class TestModels:
    async def test_a_model_is_a_shadow_until_it_is_promoted(self, owner: Member) -> None:
        first = await owner.made("/v1/scores/models", model())
        assert (first["number"], first["state"], first["card"]["auc"]) == (1, "shadow", 0.7)
        answer = await owner.post("/v1/scores", {"model_id": first["id"], "scores": [score(await owner.deal(), 0.5)]})
        assert_problem(answer, 409, "model_not_promoted")
        artefact = (await owner.get(f"/v1/scores/models/{first['id']}/artefact")).json()
        assert artefact == {"artefact": "AAAA", "sha256": "0" * 64}

    async def test_one_that_abstains_is_never_promoted(self, owner: Member) -> None:
        made = await owner.made("/v1/scores/models", model("abstains"))
        assert_problem(await owner.post(f"/v1/scores/models/{made['id']}/promote"), 409, "model_abstains")

    async def test_a_rollback_brings_back_the_one_before_and_then_the_one_before_that(self, owner: Member) -> None:
        assert_problem(await owner.post("/v1/scores/rollback"), 409, "no_earlier_model")
        ids = [await promoted(owner) for _ in range(3)]

        async def scoring() -> list[str]:
            models = (await owner.get("/v1/scores/models")).json()["items"]
            return [one["id"] for one in models if one["state"] == "promoted"]

        assert await scoring() == [ids[2]]
        for expected in (ids[1], ids[0]):
            await owner.made("/v1/scores/rollback", None)
            assert await scoring() == [expected]
        assert_problem(await owner.post("/v1/scores/rollback"), 409, "no_earlier_model")

    async def test_only_administrators_bring_models_and_scores(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        assert_problem(await rep.post("/v1/scores/models", model()), 403)
        assert_problem(await rep.post("/v1/scores/rollback"), 403)
        assert_problem(
            await rep.post("/v1/scores", {"model_id": str(uuid4()), "scores": [score(await rep.deal(), 0.5)]}), 403
        )


class TestLeads:
    async def test_contacts_have_a_model_and_scores_of_their_own(self, crm: Crm, owner: Member) -> None:
        of_deals = await promoted(owner)
        made = await owner.made("/v1/scores/models", {**model(), "subject": "contact"})
        await owner.made(f"/v1/scores/models/{made['id']}/promote", None)
        assert made["subject"] == "contact"
        params = {"subject": "deal", "state": "promoted"}
        [still] = (await owner.get("/v1/scores/models", params=params)).json()["items"]
        assert still["id"] == of_deals
        lead = await scored_contact(owner)
        for value, came_of_it in ((0.6, "written"), (0.6, "unchanged"), (0.7, "written")):
            body = {"model_id": made["id"], "scores": [lead_score(lead, value)]}
            assert (await owner.made("/v1/scores", body))[came_of_it] == 1
        for params in ({"contact_id": lead["id"]}, {"subject": "contact"}):
            [found] = (await owner.get("/v1/scores", params=params)).json()["items"]
            assert (found["contact_id"], found["title"], found["deal_id"]) == (lead["id"], lead["name"], None)
        assert (await owner.get("/v1/scores")).json()["items"] == []
        past = (await owner.get("/v1/scores/history", params={"contact_id": lead["id"]})).json()["items"]
        assert [one["score"] for one in past] == [0.7, 0.6]
        [event] = crm.events(found["id"])
        assert (event["version"], event["data"]["contact_id"], event["data"]["previous"]) == (2, lead["id"], 0.6)
        rep = crm.member(owner.organization_id, Role.REP)
        assert (await rep.get("/v1/scores", params={"contact_id": lead["id"]})).json()["items"] == []
        await owner.deal(contact_id=lead["id"])  # a lead no more
        assert (await owner.get("/v1/scores", params={"subject": "contact"})).json()["items"] == []

    async def test_a_model_scores_its_own_subject(self, owner: Member) -> None:
        scoring, deal = await promoted(owner), await scored_deal(owner)
        lead = await scored_contact(owner)
        answer = await owner.post("/v1/scores", {"model_id": scoring, "scores": [lead_score(lead, 0.5)]})
        assert_problem(answer, 422, "other_subject")
        both = {**score(deal, 0.5), "contact_id": lead["id"]}
        assert (await owner.post("/v1/scores", {"model_id": scoring, "scores": [both]})).status_code == 422
        params = {"deal_id": deal["id"], "contact_id": lead["id"]}
        assert_problem(await owner.get("/v1/scores", params=params), 422, "one_subject")
        assert_problem(await owner.get("/v1/scores/history"), 422, "one_subject")
        assert_problem(await owner.post("/v1/scores/rollback?subject=contact"), 409, "no_earlier_model")


class TestScores:
    async def test_a_score_is_kept_said_and_written_once(self, crm: Crm, owner: Member) -> None:
        scoring, deal = await promoted(owner), await scored_deal(owner)

        async def write(value: float) -> dict[str, Any]:
            return await owner.made("/v1/scores", {"model_id": scoring, "scores": [score(deal, value)]})

        assert await write(0.25) == {"written": 1, "unchanged": 0, "held_out": 0, "unknown": 0}
        assert (await write(0.25))["unchanged"] == 1
        assert (await write(0.75))["written"] == 1
        [latest] = (await owner.get("/v1/scores", params={"deal_id": deal["id"]})).json()["items"]
        assert (latest["score"], latest["title"], latest["model_number"]) == (0.75, deal["title"], 1)
        assert latest["reasons"][0]["words"] == "Source “web” raises the odds by 20 %"
        past = (await owner.get("/v1/scores/history", params={"deal_id": deal["id"]})).json()["items"]
        assert [one["score"] for one in past] == [0.75, 0.25]
        [event] = crm.events(latest["id"])
        assert (event["type"], event["data"]["score"], event["data"]["previous"]) == ("lead.scored", 0.75, 0.25)
        assert "Source" not in str(event["data"])

    async def test_the_random_slice_and_deals_of_others_have_none(self, owner: Member, stranger: Member) -> None:
        scoring = await promoted(owner)
        deals = [await owner.deal() for _ in range(60)]
        foreign = [await scored_deal(stranger)]
        answer = await owner.made(
            "/v1/scores", {"model_id": scoring, "scores": [score(one, 0.5) for one in deals + foreign]}
        )
        assert answer["unknown"] == 1
        assert answer["written"] + answer["held_out"] == 60
        assert answer["held_out"] == 60 - len((await owner.get("/v1/scores")).json()["items"])

    async def test_one_sees_scores_of_deals_that_one_sees(self, crm: Crm, owner: Member) -> None:
        scoring, deal = await promoted(owner), await scored_deal(owner)
        await owner.made("/v1/scores", {"model_id": scoring, "scores": [score(deal, 0.5)]})
        rep = crm.member(owner.organization_id, Role.REP)
        for path in ("/v1/scores", "/v1/scores/history"):
            assert (await rep.get(path, params={"deal_id": deal["id"]})).json()["items"] == []

    async def test_a_score_is_a_probability(self, owner: Member) -> None:
        scoring, deal = await promoted(owner), await scored_deal(owner)
        for wrong in (1.5, -0.1, "high"):
            body = {"model_id": scoring, "scores": [{**score(deal, 0.5), "score": wrong}]}
            assert (await owner.post("/v1/scores", body)).status_code == 422
