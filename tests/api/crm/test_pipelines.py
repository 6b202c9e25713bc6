"""Pipelines and their stages over HTTP."""

import asyncio
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem, stage_ids

STAGES: list[dict[str, Any]] = [
    {"name": "First", "kind": "open", "target_days": 7},
    {"name": "Second", "kind": "open"},
    {"name": "Done", "kind": "won"},
    {"name": "Gone", "kind": "lost"},
]


async def make(owner: Member, name: str = "Partners") -> dict[str, Any]:
    return await owner.made("/v1/pipelines", {"name": name, "stages": STAGES})


async def names(owner: Member, pipeline_id: str) -> list[str]:
    found = (await owner.get(f"/v1/pipelines/{pipeline_id}")).json()
    return [stage["name"] for stage in found["stages"]]


def stage_path(pipeline: dict[str, Any], number: int) -> str:
    return f"/v1/pipelines/{pipeline['id']}/stages/{pipeline['stages'][number]['id']}"


class TestCreatePipeline:
    async def test_stages_stand_in_the_order_given(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        assert [stage["name"] for stage in made["stages"]] == ["First", "Second", "Done", "Gone"]
        assert [stage["position"] for stage in made["stages"]] == [0, 1, 2, 3]
        assert (await owner.get(f"/v1/pipelines/{made['id']}")).json() == made
        assert [event["type"] for event in crm.events(made["id"])] == ["pipeline.created"]
        assert crm.events(made["stages"][0]["id"])[0]["data"]["target_days"] == 7

    async def test_given_positions_decide_the_order_and_stay(self, owner: Member) -> None:
        stages = [stage | {"position": 10 * (9 - place)} for place, stage in enumerate(STAGES)]
        made = await owner.made("/v1/pipelines", {"name": "P", "stages": stages})
        assert [stage["position"] for stage in made["stages"]] == [60, 70, 80, 90]
        assert made["stages"][0]["name"] == "Gone"

    async def test_sign_up_leaves_a_pipeline_that_works(self, owner: Member) -> None:
        first = await owner.pipeline()
        assert {stage["kind"] for stage in first["stages"]} == {"open", "won", "lost"}

    @pytest.mark.parametrize(
        "stages",
        [STAGES[:3], [], [*STAGES, {"name": "FIRST", "kind": "open"}], [STAGES[0] | {"position": 1}, *STAGES[1:]]],
        ids=["no lost stage", "none", "a name twice", "some positions"],
    )
    async def test_stages_must_fit_together(self, owner: Member, stages: list[dict[str, Any]]) -> None:
        assert_problem(await owner.post("/v1/pipelines", {"name": "P", "stages": stages}), 422, "validation_failed")

    async def test_name_is_taken_once(self, owner: Member, stranger: Member) -> None:
        await make(owner)
        body = {"name": "PARTNERS", "stages": STAGES}
        assert_problem(await owner.post("/v1/pipelines", body), 409, "pipeline_name_taken")
        await stranger.made("/v1/pipelines", body)

    async def test_only_administrators_arrange(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        assert_problem(await rep.post("/v1/pipelines", {"name": "P", "stages": STAGES}), 403, "forbidden")
        assert (await rep.get("/v1/pipelines")).status_code == 200


class TestUpdatePipeline:
    async def test_rename_is_an_event(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        answer = await owner.patch(f"/v1/pipelines/{made['id']}", {"name": "Resellers"}, version=1)
        assert (answer.json()["name"], answer.json()["version"], answer.headers["etag"]) == ("Resellers", 2, '"2"')
        assert crm.events(made["id"])[1]["data"] == {"name": "Resellers", "is_active": True}

    async def test_retired_takes_no_deals_and_not_with_open_ones(self, owner: Member) -> None:
        made = await make(owner)
        deal = await owner.deal(pipeline_id=made["id"])
        path = f"/v1/pipelines/{made['id']}"
        assert_problem(await owner.patch(path, {"is_active": False}, version=1), 409, "pipeline_has_open_deals")
        await owner.made(f"/v1/deals/{deal['id']}/win", {})
        assert (await owner.patch(path, {"is_active": False}, version=1)).status_code == 200
        refused = await owner.post("/v1/deals", {"pipeline_id": made["id"], "title": "x"})
        assert_problem(refused, 409, "pipeline_retired")
        listed = (await owner.get("/v1/pipelines", params={"is_active": "true"})).json()["items"]
        assert made["id"] not in [pipeline["id"] for pipeline in listed]

    async def test_another_organizations_is_not_found(self, owner: Member, stranger: Member) -> None:
        made = await make(owner)
        assert_problem(await stranger.patch(f"/v1/pipelines/{made['id']}", {"name": "x"}, version=1), 404)
        assert_problem(await stranger.get(f"/v1/pipelines/{made['id']}"), 404)
        body = {"name": "x", "position": 1}
        assert_problem(await stranger.post(f"/v1/pipelines/{made['id']}/stages", body), 404)
        assert_problem(await stranger.patch(stage_path(made, 0), body, version=1), 404)
        assert_problem(await stranger.delete(stage_path(made, 0), version=1), 404)


class TestAddStage:
    async def test_open_goes_before_the_closed_ones(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "Third"})
        assert await names(owner, made["id"]) == ["First", "Second", "Third", "Done", "Gone"]
        assert [event["type"] for event in crm.events(made["stages"][2]["id"])] == ["stage.created", "stage.updated"]

    async def test_at_a_position(self, owner: Member) -> None:
        made = await make(owner)
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "Zeroth", "position": 0})
        assert await names(owner, made["id"]) == ["Zeroth", "First", "Second", "Done", "Gone"]

    async def test_name_is_taken_in_its_pipeline_only(self, owner: Member) -> None:
        made, other = await make(owner), await make(owner, "Other")
        path = f"/v1/pipelines/{made['id']}/stages"
        assert_problem(await owner.post(path, {"name": "first"}), 409, "stage_name_taken")
        await owner.made(path, {"name": "Third"})
        await owner.made(f"/v1/pipelines/{other['id']}/stages", {"name": "Third"})

    async def test_ten_at_once_get_places_of_their_own(self, owner: Member) -> None:
        made = await make(owner)
        path = f"/v1/pipelines/{made['id']}/stages"
        answers = await asyncio.gather(*(owner.post(path, {"name": f"S{n}"}) for n in range(10)))
        assert {answer.status_code for answer in answers} == {201}
        found = (await owner.get(f"/v1/pipelines/{made['id']}")).json()["stages"]
        positions = [stage["position"] for stage in found]
        assert len(set(positions)) == len(positions) == 14
        assert [stage["kind"] for stage in found[-2:]] == ["won", "lost"]


class TestUpdateStage:
    async def test_renamed_keeps_its_id_and_its_past(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        answer = await owner.patch(stage_path(made, 0), {"name": "Intake", "target_days": None}, version=1)
        assert answer.json()["id"] == made["stages"][0]["id"]
        first, second = crm.events(made["stages"][0]["id"])
        assert (first["data"]["name"], second["data"]["name"], second["data"]["target_days"]) == (
            "First",
            "Intake",
            None,
        )

    async def test_reordered_tells_each_stage_that_moved(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        assert (await owner.patch(stage_path(made, 1), {"position": 0}, version=1)).json()["position"] == 0
        assert await names(owner, made["id"]) == ["Second", "First", "Done", "Gone"]
        assert [len(crm.events(stage["id"])) for stage in made["stages"]] == [2, 2, 1, 1]

    async def test_nothing_changed_writes_nothing(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        answer = await owner.patch(stage_path(made, 0), {"name": "First", "position": 0}, version=1)
        assert answer.json()["version"] == 1
        assert len(crm.events(made["stages"][0]["id"])) == 1

    async def test_kind_never_changes(self, owner: Member) -> None:
        made = await make(owner)
        assert_problem(await owner.patch(stage_path(made, 0), {"kind": "won"}, version=1), 422, "validation_failed")

    async def test_needs_the_present_version(self, owner: Member) -> None:
        made = await make(owner)
        assert (await owner.patch(stage_path(made, 0), {"name": "A"}, version=1)).status_code == 200
        assert_problem(await owner.patch(stage_path(made, 0), {"name": "B"}, version=1), 412)

    async def test_of_another_pipeline_is_not_found(self, owner: Member) -> None:
        made, other = await make(owner), await make(owner, "Other")
        path = f"/v1/pipelines/{other['id']}/stages/{made['stages'][0]['id']}"
        assert_problem(await owner.patch(path, {"name": "A"}, version=1), 404)


class TestRetireStage:
    async def test_gone_from_the_pipeline_kept_in_history(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        assert (await owner.delete(stage_path(made, 0), version=1)).status_code == 204
        assert await names(owner, made["id"]) == ["Second", "Done", "Gone"]
        shown = (await owner.get(f"/v1/pipelines/{made['id']}", params={"include_retired": "true"})).json()
        assert [stage["name"] for stage in shown["stages"] if stage["is_retired"]] == ["First"]
        assert crm.events(made["stages"][0]["id"])[-1]["type"] == "stage.deleted"
        assert_problem(await owner.delete(stage_path(made, 0), version=2), 409, "stage_retired")
        refused = await owner.post(
            "/v1/deals", {"pipeline_id": made["id"], "stage_id": made["stages"][0]["id"], "title": "x"}
        )
        assert_problem(refused, 409, "stage_retired")

    async def test_brought_back_to_where_it_stood(self, crm: Crm, owner: Member) -> None:
        made = await make(owner)
        await owner.delete(stage_path(made, 0), version=1)
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "Instead", "position": 0})
        answer = await owner.http.post(f"{stage_path(made, 0)}/restore", headers={"If-Match": '"2"'})
        assert (answer.status_code, answer.json()["is_retired"]) == (200, False), answer.text
        assert await names(owner, made["id"]) == ["First", "Instead", "Second", "Done", "Gone"]
        assert crm.events(made["stages"][0]["id"])[-1]["type"] == "stage.restored"
        await owner.deal(pipeline_id=made["id"], stage_id=made["stages"][0]["id"])
        again = await owner.http.post(f"{stage_path(made, 0)}/restore", headers={"If-Match": '"3"'})
        assert_problem(again, 409, "stage_in_use")

    async def test_not_brought_back_beside_one_of_its_name(self, owner: Member) -> None:
        made = await make(owner)
        await owner.delete(stage_path(made, 0), version=1)
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "First"})
        answer = await owner.http.post(f"{stage_path(made, 0)}/restore", headers={"If-Match": '"2"'})
        assert_problem(answer, 409, "stage_name_taken")

    async def test_its_name_is_free_again(self, owner: Member) -> None:
        made = await make(owner)
        await owner.delete(stage_path(made, 0), version=1)
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "First"})

    async def test_not_with_open_deals(self, owner: Member) -> None:
        made = await make(owner)
        deal = await owner.deal(pipeline_id=made["id"])
        assert_problem(await owner.delete(stage_path(made, 0), version=1), 409, "stage_has_open_deals")
        await owner.made(f"/v1/deals/{deal['id']}/move", {"stage_id": stage_ids(made, "open")[1]})
        assert (await owner.delete(stage_path(made, 0), version=1)).status_code == 204

    @pytest.mark.parametrize("number", [2, 3], ids=["won", "lost"])
    async def test_not_the_last_of_its_kind(self, owner: Member, number: int) -> None:
        made = await make(owner)
        assert_problem(await owner.delete(stage_path(made, number), version=1), 409, "last_stage_of_kind")
        kind = made["stages"][number]["kind"]
        await owner.made(f"/v1/pipelines/{made['id']}/stages", {"name": "Another", "kind": kind})
        assert (await owner.delete(stage_path(made, number), version=1)).status_code == 204

    async def test_not_the_last_open_one(self, owner: Member) -> None:
        made = await make(owner)
        assert (await owner.delete(stage_path(made, 0), version=1)).status_code == 204
        assert_problem(await owner.delete(stage_path(made, 1), version=1), 409, "last_stage_of_kind")

    async def test_deals_entering_at_once_never_end_in_a_retired_stage(self, owner: Member) -> None:
        made = await make(owner)
        target = made["stages"][1]["id"]
        deals = [await owner.deal(pipeline_id=made["id"]) for _ in range(6)]
        *moves, retired = await asyncio.gather(
            *(owner.post(f"/v1/deals/{deal['id']}/move", {"stage_id": target}) for deal in deals),
            owner.delete(stage_path(made, 1), version=1),
        )
        moved = {answer.status_code for answer in moves}
        inside = (await owner.get("/v1/deals", params={"stage_id": target})).json()["items"]
        if retired.status_code == 204:
            assert (moved, inside) == ({409}, [])
        else:
            assert_problem(retired, 409, "stage_has_open_deals")
            assert inside


class TestUnknown:
    async def test_pipeline_is_not_found(self, owner: Member) -> None:
        assert_problem(await owner.get(f"/v1/pipelines/{uuid7()}"), 404, "not_found")
        assert_problem(await owner.get("/v1/pipelines/7"), 422, "validation_failed")
