"""Goals: whose they are, how long they run, and that those of one never overlap."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

PATH = "/v1/goals"
AMOUNT = {"measure": "won_amount", "starts_on": "2026-07-01", "months": 3, "target": 25_000_000, "currency": "EUR"}
DEALS = {"measure": "deals_won", "starts_on": "2026-07-01", "months": 1, "target": 4}


class TestSet:
    async def test_answers_what_was_set_and_its_event_says_it(self, crm: Crm, owner: Member) -> None:
        made = await owner.made(PATH, AMOUNT | {"user_id": str(owner.user_id)})
        assert (made["version"], made["ends_on"], made["target"]) == (1, "2026-10-01", 25_000_000)
        assert (await owner.get(PATH, params={"from": "2026-09-01", "to": "2026-10-01"})).json()["items"] == [made]
        assert (await owner.get(PATH, params={"from": "2026-10-01"})).json()["items"] == []
        [event] = crm.events(made["id"])
        assert (event["type"], event["data"]["target"], event["data"]["ends_on"]) == (
            "goal.set",
            25_000_000,
            "2026-10-01",
        )

    async def test_refuses_one_that_overlaps_another_of_the_same_person_and_measure(self, owner: Member) -> None:
        made = await owner.made(PATH, AMOUNT)
        month = AMOUNT | {"starts_on": "2026-09-01", "months": 1}
        assert_problem(await owner.post(PATH, month), 409, "goal_overlaps")
        await owner.made(PATH, month | {"user_id": str(owner.user_id)})
        await owner.made(PATH, DEALS)
        await owner.made(PATH, AMOUNT | {"starts_on": "2026-10-01"})
        assert (await owner.delete(f"{PATH}/{made['id']}", version=1)).status_code == 204
        await owner.made(PATH, month)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"starts_on": "2026-07-02"},
            {"months": 2},
            {"target": 0},
            {"target": 10**16},
            {"currency": None},
            {"currency": "ZZZ"},
            {"measure": "deals_won"},
            {"user_id": str(uuid7()), "team_id": str(uuid7())},
        ],
    )
    async def test_refuses_what_is_no_goal(self, owner: Member, wrong: dict[str, Any]) -> None:
        assert_problem(await owner.post(PATH, AMOUNT | wrong), 422, "validation_failed")

    async def test_names_an_unknown_person(self, crm: Crm, owner: Member) -> None:
        stranger = await crm.organization()
        answer = await owner.post(PATH, AMOUNT | {"user_id": str(stranger.user_id)})
        assert_problem(answer, 422, "unknown_reference")


class TestChange:
    async def test_is_another_version_with_another_target(self, crm: Crm, owner: Member) -> None:
        made = await owner.made(PATH, AMOUNT)
        path = f"{PATH}/{made['id']}"
        assert (await owner.patch(path, {"target": 5}, version=1)).json()["version"] == 2
        assert_problem(await owner.patch(path, {"target": 6}, version=1), 412, "precondition_failed")
        assert (await owner.delete(path, version=2)).status_code == 204
        assert_problem(await owner.get(path), 404, "not_found")
        assert [event["type"] for event in crm.events(made["id"])] == ["goal.set", "goal.set", "goal.deleted"]


class TestSeen:
    async def test_a_rep_sees_their_own_and_no_other_persons_and_sets_none(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        mine = await owner.made(PATH, AMOUNT | {"user_id": str(rep.user_id)})
        other = await owner.made(PATH, AMOUNT | {"user_id": str(owner.user_id)})
        assert [goal["id"] for goal in (await rep.get(PATH)).json()["items"]] == [mine["id"]]
        assert_problem(await rep.get(f"{PATH}/{other['id']}"), 404, "not_found")
        assert_problem(await rep.post(PATH, DEALS), 403, "forbidden")
        stranger = await crm.organization()
        assert (await stranger.get(PATH)).json()["items"] == []
        assert_problem(await stranger.get(f"{PATH}/{mine['id']}"), 404, "not_found")
