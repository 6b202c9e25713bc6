"""Who gets a new deal: turns, capacity, working hours, and many deals at once."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from api.distribution import rules
from api.distribution.rules import Rule, choose, reason
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

UTC_ZONE = ZoneInfo("UTC")
WEDNESDAY = datetime(2026, 3, 4, 15, tzinfo=UTC)
ANN, BEN, CID = (str(UUID(int=n)) for n in (1, 2, 3))
FREE = dict.fromkeys((UUID(one) for one in (ANN, BEN, CID)), 0)


def rule(*members: dict[str, Any], **fields: Any) -> Rule:
    given = {"method": "round_robin", "name": "R", "position": 0, **fields}
    whole = [{"weight": 1, "capacity": None, "time_zone": None, **one} for one in members]
    return Rule(id=UUID(int=9), version=1, created_at=WEDNESDAY, updated_at=WEDNESDAY, members=whole, **given)


def turns(one: Rule, number: int, open_deals: dict[UUID, int] = FREE) -> list[str]:
    found = []
    for _ in range(number):
        choice = choose(one, open_deals, now=WEDNESDAY, zone=UTC_ZONE)
        found.append(str(choice.user_id))
        one = Rule(**{**vars(one), "credits": choice.credits})
    return found


class TestRules:
    def test_turns_go_round_and_weights_are_kept_among_them(self) -> None:
        three = [{"user_id": one} for one in (ANN, BEN, CID)]
        assert turns(rule(*three), 6) == [ANN, BEN, CID, ANN, BEN, CID]
        weighted = rule({"user_id": ANN, "weight": 3}, {"user_id": BEN}, method="weighted")
        assert Counter(turns(weighted, 40)) == {ANN: 30, BEN: 10}
        assert turns(weighted, 4) == [ANN, ANN, BEN, ANN]

    def test_who_is_at_capacity_or_gone_is_passed_over_and_comes_back_to_no_heap(self) -> None:
        one = rule({"user_id": ANN, "capacity": 2}, {"user_id": BEN})
        full = {**FREE, UUID(ANN): 2}
        assert turns(one, 3, full) == [BEN, BEN, BEN]
        choice = choose(one, full, now=WEDNESDAY, zone=UTC_ZONE)
        said = reason(choice.outcome, choice.facts, {ANN: "Ann"})
        assert said == "round robin, 2nd of 2; Ann was at capacity"
        assert turns(one, 3, {UUID(BEN): 0}) == [BEN, BEN, BEN]

    def test_working_hours_are_those_of_the_persons_zone(self) -> None:
        hours = {"days": [1, 2, 3, 4, 5], "begins": "09:00", "ends": "17:00"}
        members = ({"user_id": ANN, "time_zone": "Asia/Tokyo"}, {"user_id": BEN, "time_zone": "America/New_York"})
        assert turns(rule(*members, working_hours=hours), 2) == [BEN, BEN]  # midnight in Tokyo, ten in New York

    def test_least_busy_and_the_fallback_and_the_queue(self) -> None:
        busy = {UUID(ANN): 5, UUID(BEN): 1, UUID(CID): 0}
        assert turns(rule({"user_id": ANN}, {"user_id": BEN}, method="least_busy"), 1, busy) == [BEN]
        full = rule({"user_id": ANN, "capacity": 5}, fallback_user_id=UUID(CID))
        assert choose(full, busy, now=WEDNESDAY, zone=UTC_ZONE).outcome == "fallback"
        gone = choose(full, {UUID(ANN): 5}, now=WEDNESDAY, zone=UTC_ZONE)
        assert (gone.user_id, gone.outcome) == (None, "queued")

    def test_other_members_begin_the_turns_anew(self) -> None:
        one = rule({"user_id": ANN}, credits={ANN: -1})
        change = rules.update(one, {"members": [{"user_id": BEN}]}, now=WEDNESDAY)
        assert change is not None
        assert change.after.credits == {}


async def made_rule(owner: Member, *members: Member, **fields: Any) -> dict[str, Any]:
    people = [{"user_id": str(member.user_id)} for member in members]
    return await owner.made("/v1/distribution-rules", {"name": "In turn", "members": people, **fields})


class TestDeals:
    async def test_deals_made_at_once_neither_skip_nor_double_a_turn(self, crm: Crm, owner: Member) -> None:
        members = [crm.member(owner.organization_id, Role.REP) for _ in range(4)]
        await made_rule(owner, *members)
        deals = await asyncio.gather(*(owner.deal(owner_id="distribute") for _ in range(24)))
        assert Counter(deal["owner_id"] for deal in deals) == {str(member.user_id): 6 for member in members}
        made = (await owner.get("/v1/distributions", params={"limit": 50})).json()["items"]
        in_order = [one["user_id"] for one in sorted(made, key=lambda one: str(one["created_at"]))]
        assert all(len(set(in_order[start : start + 4])) == 4 for start in range(0, 24, 4))

    async def test_capacity_holds_for_deals_made_at_once(self, crm: Crm, owner: Member) -> None:
        ann, ben = (crm.member(owner.organization_id, Role.REP) for _ in range(2))
        people = [{"user_id": str(ann.user_id), "capacity": 3}, {"user_id": str(ben.user_id), "capacity": 2}]
        await owner.made("/v1/distribution-rules", {"name": "Few", "members": people})
        deals = await asyncio.gather(*(owner.deal(owner_id="distribute") for _ in range(8)))
        owners = Counter(deal["owner_id"] for deal in deals)
        assert owners == {str(ann.user_id): 3, str(ben.user_id): 2, None: 3}

    async def test_only_an_automatic_rule_takes_deals_that_name_no_owner(self, crm: Crm, owner: Member) -> None:
        ann = crm.member(owner.organization_id, Role.REP)
        made = await made_rule(owner, ann, source="Website")
        assert (await owner.deal(source="Website"))["owner_id"] == str(owner.user_id)
        path = f"/v1/distribution-rules/{made['id']}"
        assert (await owner.patch(path, {"is_automatic": True}, version=1)).json()["source"] == "Website"
        deal = await owner.deal(source="website")
        assert deal["owner_id"] == str(ann.user_id)
        assert (await owner.deal(source="Fair"))["owner_id"] == str(owner.user_id)
        assert (await owner.deal(source="Website", owner_id=None))["owner_id"] is None
        [why] = (await owner.get("/v1/distributions", params={"deal_id": deal["id"]})).json()["items"]
        assert (why["reason"], why["rule"], why["outcome"]) == ("round robin, 1st of 1", "In turn", "assigned")
        [event] = crm.events(why["id"])
        assert (event["type"], event["data"]["owner_id"]) == ("distribution.made", str(ann.user_id))

    async def test_what_no_rule_takes_is_refused_where_one_was_asked(self, owner: Member) -> None:
        body = {"pipeline_id": (await owner.pipeline())["id"], "title": "T", "owner_id": "distribute"}
        assert_problem(await owner.post("/v1/deals", body), 409, "no_distribution_rule")
        deal = await owner.deal()
        assert_problem(await owner.post(f"/v1/deals/{deal['id']}/distribute"), 409, "no_distribution_rule")
        assert (await owner.post("/v1/deals", {**body, "owner_id": "somebody"})).status_code == 422

    async def test_a_deal_is_distributed_again(self, crm: Crm, owner: Member) -> None:
        ann = crm.member(owner.organization_id, Role.REP)
        await made_rule(owner, ann)
        deal = await owner.deal()
        again = await owner.made(f"/v1/deals/{deal['id']}/distribute", None)
        assert again["owner_id"] == str(ann.user_id)
        assert [event["type"] for event in crm.events(deal["id"])] == ["deal.created", "deal.owner.changed"]


class TestEndpoints:
    async def test_a_rule_is_read_changed_and_deleted_by_administrators(
        self, crm: Crm, owner: Member, stranger: Member
    ) -> None:
        made = await made_rule(owner, owner, method="weighted", position=3)
        path = f"/v1/distribution-rules/{made['id']}"
        assert (await owner.get(path)).json() == made
        assert_problem(await stranger.get(path), 404)
        rep = crm.member(owner.organization_id, Role.REP)
        assert (await rep.get("/v1/distribution-rules")).json()["items"] == [made]
        assert_problem(await rep.patch(path, {"name": "Mine"}, version=1), 403)
        changed = (await owner.patch(path, {"name": "Other", "is_active": False}, version=1)).json()
        assert (changed["name"], changed["is_active"], changed["version"]) == ("Other", False, 2)
        assert_problem(await owner.patch(path, {"name": "Old"}, version=1), 412)
        assert (await owner.delete(path, version=2)).status_code == 204
        assert_problem(await owner.get(path), 404)

    @pytest.mark.parametrize(
        "body",
        [
            {"members": []},
            {"members": [{"user_id": str(uuid4())}]},
            {"members": [{"user_id": ANN}, {"user_id": ANN}]},
            {"pipeline_id": str(uuid4())},
            {"fallback_user_id": str(uuid4())},
            {"method": "dice"},
            {"working_hours": {"days": [8], "begins": "09:00", "ends": "17:00"}},
            {"working_hours": {"days": [1], "begins": "17:00", "ends": "09:00"}},
        ],
    )
    async def test_what_makes_no_rule_is_refused(self, owner: Member, body: dict[str, Any]) -> None:
        whole = {"name": "R", "members": [{"user_id": str(owner.user_id)}], **body}
        assert_problem(await owner.post("/v1/distribution-rules", whole), 422)

    async def test_a_rep_reads_only_choices_about_deals_they_see(self, crm: Crm, owner: Member) -> None:
        ann, ben = (crm.member(owner.organization_id, Role.REP) for _ in range(2))
        await made_rule(owner, ann)
        await owner.deal(owner_id="distribute")
        assert len((await ann.get("/v1/distributions")).json()["items"]) == 1
        assert (await ben.get("/v1/distributions")).json()["items"] == []
