"""What stages ask of deals, and deals that stay too long."""

from typing import Any

import psycopg
import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem, stage_ids


async def asks(owner: Member, place: int, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """The first pipeline, one of whose open stages asks for fields."""
    pipeline = await owner.pipeline()
    stages = stage_ids(pipeline, "open")
    path = f"/v1/pipelines/{pipeline['id']}/stages/{stages[place]}"
    answer = await owner.patch(path, fields, version=1)
    assert answer.is_success, answer.text
    assert {name: answer.json()[name] for name in fields} == fields
    return pipeline, stages


class TestCriteria:
    async def test_name_what_a_deal_lacks_to_enter_and_to_leave(self, owner: Member) -> None:
        _, stages = await asks(owner, 1, entry_fields=["amount_minor"], exit_fields=["close_date", "company_id"])
        deal = await owner.deal()
        path = f"/v1/deals/{deal['id']}"
        problem = assert_problem(await owner.post(f"{path}/move", {"stage_id": stages[1]}), 422, "fields_missing")
        assert "amount_minor" in problem["detail"]
        assert (await owner.patch(path, {"amount_minor": 5}, version=1)).is_success
        assert (await owner.post(f"{path}/move", {"stage_id": stages[1]})).is_success
        for command in (f"{path}/move", f"{path}/win"):
            body = {"stage_id": stages[2]} if command.endswith("move") else {}
            problem = assert_problem(await owner.post(command, body), 422, "fields_missing")
            assert "close_date, company_id" in problem["detail"]
        assert (await owner.post(f"{path}/lose", {"reason": "Price"})).is_success

    async def test_a_manager_may_say_why_not_and_the_audit_log_keeps_it(self, crm: Crm, owner: Member) -> None:
        _, stages = await asks(owner, 1, entry_fields=["amount_minor"])
        rep = crm.member(owner.organization_id, Role.REP)
        deal = await rep.deal()
        body = {"stage_id": stages[1], "override_reason": "They sign tomorrow"}
        assert_problem(await rep.post(f"/v1/deals/{deal['id']}/move", body), 403)
        assert (await owner.post(f"/v1/deals/{deal['id']}/move", body)).is_success
        with psycopg.connect(crm.admin_url) as admin:
            [(after,)] = admin.execute(
                "select after from audit_log where action = 'deal.criteria_overridden' and resource_id = %s",
                (deal["id"],),
            ).fetchall()
        assert after == {"leaving": [], "entering": ["amount_minor"], "reason": "They sign tomorrow"}

    async def test_ask_for_custom_fields_too(self, owner: Member) -> None:
        field = await owner.made("/v1/custom-fields", {"record_kind": "deal", "name": "Seats", "type": "number"})
        name = f"custom.{field['id']}"
        _, stages = await asks(owner, 1, entry_fields=[name])
        deal = await owner.deal()
        move = f"/v1/deals/{deal['id']}/move"
        assert_problem(await owner.post(move, {"stage_id": stages[1]}), 422, "fields_missing")
        assert (await owner.patch(f"/v1/deals/{deal['id']}", {"custom": {field["id"]: 3}}, version=1)).is_success
        assert (await owner.post(move, {"stage_id": stages[1]})).is_success

    @pytest.mark.parametrize("fields", [["title"], ["custom.x"], "amount_minor", [1]])
    async def test_only_of_fields_that_a_deal_has(self, owner: Member, fields: Any) -> None:
        pipeline = await owner.pipeline()
        path = f"/v1/pipelines/{pipeline['id']}/stages/{stage_ids(pipeline, 'open')[0]}"
        assert_problem(await owner.patch(path, {"entry_fields": fields}, version=1), 422)


async def test_a_deal_rots_beyond_its_stages_target_days(owner: Member) -> None:
    _, stages = await asks(owner, 0, target_days=7)
    old, fresh = await owner.deal(occurred_at="2026-01-01T00:00:00Z"), await owner.deal()
    listed = (await owner.get("/v1/deals", params={"is_rotting": True})).json()["items"]
    assert [one["id"] for one in listed] == [old["id"]]
    assert (await owner.get(f"/v1/deals/{fresh['id']}")).json()["is_rotting"] is False
    moved = (await owner.post(f"/v1/deals/{old['id']}/move", {"stage_id": stages[1]})).json()
    assert moved["is_rotting"] is False
    assert (await owner.get("/v1/deals", params={"is_rotting": True})).json()["items"] == []
