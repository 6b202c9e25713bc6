"""`/v1/tasks`: what is to be done, and what comes again."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from api.tasks.recurrence import BadRecurrence, checked, following
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY_9 = datetime(2026, 3, 23, 8, tzinfo=UTC)  # nine o'clock in Berlin, the week before summer time


class TestRecurrence:
    def test_nine_oclock_stays_nine_oclock_when_the_clocks_change(self) -> None:
        due = following("FREQ=WEEKLY;BYDAY=MO", MONDAY_9, MONDAY_9, BERLIN)
        assert due == datetime(2026, 3, 30, 7, tzinfo=UTC)

    def test_a_count_is_of_the_whole_series(self) -> None:
        second = following("FREQ=DAILY;COUNT=2", MONDAY_9, MONDAY_9, BERLIN)
        assert second is not None
        assert following("FREQ=DAILY;COUNT=2", MONDAY_9, second, BERLIN) is None

    @pytest.mark.parametrize(
        "rule",
        ["often", "FREQ=SECONDLY", "FREQ=DAILY;BYMONTH=2", "FREQ=WEEKLY;BYDAY=XX", "FREQ=DAILY;INTERVAL=0",
         "FREQ=DAILY;COUNT=99999", "FREQ=DAILY;UNTIL=20260101"],
    )  # fmt: skip
    def test_what_is_no_rule_is_refused(self, rule: str) -> None:
        with pytest.raises(BadRecurrence):
            checked(rule, MONDAY_9, BERLIN)


class TestCreate:
    async def test_is_the_callers_and_about_what_it_says(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        task = await owner.made("/v1/tasks", {"title": "Call Ada", "body": "CANARY", "deal_id": deal["id"]})
        assert (task["assignee_id"], task["deal_id"]) == (str(owner.user_id), deal["id"])
        assert (await owner.get(f"/v1/tasks/{task['id']}")).json() == task
        [event] = crm.events(task["id"])
        assert event["type"] == "task.created"
        assert "CANARY" not in str(event["data"])
        assert "Ada" not in str(event["data"])

    async def test_refuses_what_the_caller_does_not_see(self, crm: Crm, owner: Member, stranger: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        for deal in (await stranger.deal(), await owner.deal()):
            answer = await rep.post("/v1/tasks", {"title": "Mine?", "deal_id": deal["id"]})
            assert assert_problem(answer, 422, "unknown_reference")["errors"][0]["pointer"] == "/deal_id"
        answer = await owner.post("/v1/tasks", {"title": "For them", "assignee_id": str(stranger.user_id)})
        assert_problem(answer, 422, "unknown_reference")

    async def test_what_recurs_is_due(self, owner: Member) -> None:
        answer = await owner.post("/v1/tasks", {"title": "Again", "recurrence": "FREQ=DAILY"})
        assert_problem(answer, 422, "due_date_needed")

    async def test_an_analyst_makes_none(self, crm: Crm, owner: Member) -> None:
        analyst = crm.member(owner.organization_id, Role.ANALYST)
        assert_problem(await analyst.post("/v1/tasks", {"title": "No"}), 403)


class TestList:
    async def test_shows_ones_own_and_those_one_gave_away(self, crm: Crm, owner: Member) -> None:
        rep, other = (crm.member(owner.organization_id, Role.REP) for _ in range(2))
        await owner.made("/v1/tasks", {"title": "Theirs"})
        await rep.made("/v1/tasks", {"title": "Mine"})
        await rep.made("/v1/tasks", {"title": "Given", "assignee_id": str(other.user_id)})
        assert [one["title"] for one in (await rep.get("/v1/tasks")).json()["items"]] == ["Given", "Mine"]
        assert [one["title"] for one in (await other.get("/v1/tasks")).json()["items"]] == ["Given"]
        assert len((await owner.get("/v1/tasks")).json()["items"]) == 3

    async def test_narrows_by_state_and_due_date(self, owner: Member) -> None:
        early = await owner.made("/v1/tasks", {"title": "Early", "due_at": "2026-05-01T09:00:00Z"})
        await owner.made("/v1/tasks", {"title": "Late", "due_at": "2026-06-01T09:00:00Z"})
        await owner.post(f"/v1/tasks/{early['id']}/complete")

        async def titles(**params: object) -> list[str]:
            return [one["title"] for one in (await owner.get("/v1/tasks", params=params)).json()["items"]]

        assert await titles(is_completed="false") == ["Late"]
        assert await titles(due_before="2026-05-15T00:00:00Z") == ["Early"]
        assert await titles(due_from="2026-05-15T00:00:00Z", q="la") == ["Late"]


class TestChange:
    async def test_of_two_editors_one_is_told(self, owner: Member) -> None:
        task = await owner.made("/v1/tasks", {"title": "Draft"})
        path = f"/v1/tasks/{task['id']}"
        assert (await owner.patch(path, {"title": "First"}, version=1)).json()["version"] == 2
        assert_problem(await owner.patch(path, {"title": "Second"}, version=1), 412)

    async def test_deleted_is_gone(self, crm: Crm, owner: Member) -> None:
        task = await owner.made("/v1/tasks", {"title": "Draft"})
        path = f"/v1/tasks/{task['id']}"
        assert (await owner.delete(path, version=1)).status_code == 204
        assert_problem(await owner.get(path), 404)
        assert [event["type"] for event in crm.events(task["id"])] == ["task.created", "task.deleted"]


class TestComplete:
    async def test_what_recurs_comes_again_with_its_reminder(self, crm: Crm, owner: Member) -> None:
        body = {
            "title": "Weekly call",
            "due_at": "2026-03-23T08:00:00Z",
            "remind_at": "2026-03-23T07:30:00Z",
            "recurrence": "FREQ=WEEKLY;COUNT=2",
        }
        task = await owner.made("/v1/tasks", body)
        done = await owner.made(f"/v1/tasks/{task['id']}/complete", None)
        assert done["completed_at"] is not None
        [upcoming] = (await owner.get("/v1/tasks", params={"is_completed": "false"})).json()["items"]
        assert (upcoming["due_at"], upcoming["remind_at"]) == ("2026-03-30T07:00:00Z", "2026-03-30T06:30:00Z")
        await owner.made(f"/v1/tasks/{upcoming['id']}/complete", None)
        assert (await owner.get("/v1/tasks", params={"is_completed": "false"})).json()["items"] == []
        assert [event["type"] for event in crm.events(task["id"])] == ["task.created", "task.completed"]

    async def test_twice_is_a_conflict_until_it_is_reopened(self, owner: Member) -> None:
        task = await owner.made("/v1/tasks", {"title": "Once"})
        path = f"/v1/tasks/{task['id']}"
        await owner.made(f"{path}/complete", None)
        assert_problem(await owner.post(f"{path}/complete"), 409, "task_completed")
        assert (await owner.made(f"{path}/reopen", None))["completed_at"] is None
        assert_problem(await owner.post(f"{path}/reopen"), 409, "task_open")
