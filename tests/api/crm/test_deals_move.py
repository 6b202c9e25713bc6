"""Moves, wins, losses and reopenings, in order, backdated and all at once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest
from uuid_utils.compat import uuid7

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem, stage_ids
from tests.eventually import eventually

NOW = datetime.now(UTC)


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()


async def history(owner: Member, deal: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await owner.get(f"/v1/deals/{deal['id']}/history")).json()["items"]
    return items


async def move(owner: Member, deal: dict[str, Any], stage_id: str, **more: object) -> httpx.Response:
    return await owner.post(f"/v1/deals/{deal['id']}/move", {"stage_id": stage_id, **more})


class TestMove:
    async def test_to_another_open_stage(self, crm: Crm, owner: Member) -> None:
        new, second, *_ = stage_ids(await owner.pipeline(), "open")
        deal = await owner.deal()
        answer = await move(owner, deal, second)
        after = answer.json()
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        assert (after["stage_id"], after["status"], after["version"]) == (second, "open", 2)
        assert after["stage_entered_at"] > deal["stage_entered_at"]
        event = crm.events(deal["id"])[1]
        assert event["type"] == "deal.stage.changed"
        assert (event["data"]["from_stage_id"], event["data"]["to_stage_id"]) == (new, second)
        assert event["occurred_at"] <= event["recorded_at"]

    async def test_to_where_it_is_changes_nothing(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        assert (await move(owner, deal, deal["stage_id"])).json() == deal
        assert len(crm.events(deal["id"])) == 1

    async def test_into_a_won_stage_is_a_win(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        after = (await move(owner, deal, stage_ids(await owner.pipeline(), "won")[0])).json()
        assert (after["status"], after["closed_at"]) == ("won", after["stage_entered_at"])
        assert crm.events(deal["id"])[1]["data"]["outcome"] == "won"

    async def test_into_a_lost_stage_needs_a_reason_and_no_other_takes_one(self, owner: Member) -> None:
        pipeline = await owner.pipeline()
        deal, lost = await owner.deal(), stage_ids(pipeline, "lost")[0]
        assert_problem(await move(owner, deal, lost), 422, "reason_mismatch")
        assert_problem(await move(owner, deal, stage_ids(pipeline, "won")[0], reason="x"), 422, "reason_mismatch")
        after = (await move(owner, deal, lost, reason="Price")).json()
        assert (after["status"], after["lost_reason"]) == ("lost", "Price")

    async def test_a_closed_deal_moves_no_more(self, owner: Member) -> None:
        deal, stages = await owner.deal(), stage_ids(await owner.pipeline(), "open")
        await owner.made(f"/v1/deals/{deal['id']}/win", {})
        problem = assert_problem(await move(owner, deal, stages[1]), 409, "deal_closed")
        assert "Reopen" in problem["detail"]

    async def test_not_across_pipelines(self, owner: Member) -> None:
        stages = [{"name": "A"}, {"name": "W", "kind": "won"}, {"name": "L", "kind": "lost"}]
        other = await owner.made("/v1/pipelines", {"name": "Other", "stages": stages})
        deal = await owner.deal()
        assert_problem(await move(owner, deal, other["stages"][0]["id"]), 409, "stage_of_other_pipeline")

    async def test_another_organizations_stage_looks_like_none(self, owner: Member, stranger: Member) -> None:
        deal = await owner.deal()
        foreign = (await stranger.pipeline())["stages"][1]["id"]
        told = [
            assert_problem(await move(owner, deal, stage), 422, "unknown_reference")["detail"]
            for stage in (foreign, str(uuid7()))
        ]
        assert told[0] == told[1]

    async def test_another_organizations_deal_is_not_found(self, owner: Member, stranger: Member) -> None:
        deal = await owner.deal()
        stage = (await stranger.pipeline())["stages"][1]["id"]
        assert_problem(await move(stranger, deal, stage), 404, "not_found")

    async def test_if_match_is_honoured_when_sent(self, owner: Member) -> None:
        deal, stages = await owner.deal(), stage_ids(await owner.pipeline(), "open")
        command = f"/v1/deals/{deal['id']}/move"
        stale = await owner.post(command, {"stage_id": stages[1]}, **{"If-Match": '"7"'})
        assert_problem(stale, 412, "precondition_failed")
        fresh = await owner.post(command, {"stage_id": stages[1]}, **{"If-Match": '"1"'})
        assert fresh.status_code == 200

    async def test_idempotency_key_moves_once(self, crm: Crm, owner: Member) -> None:
        deal, stages = await owner.deal(), stage_ids(await owner.pipeline(), "open")
        command = f"/v1/deals/{deal['id']}/move"
        first = await owner.post(command, {"stage_id": stages[1]}, **{"Idempotency-Key": "k"})
        await move(owner, deal, stages[2])
        again = await owner.post(command, {"stage_id": stages[1]}, **{"Idempotency-Key": "k"})
        assert again.json() == first.json()
        assert len(crm.events(deal["id"])) == 3

    async def test_an_analyst_may_not(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        analyst = crm.member(owner.organization_id, Role.ANALYST)
        assert_problem(await move(analyst, deal, deal["stage_id"]), 403, "forbidden")


class TestCloseAndReopen:
    async def test_win_lose_reopen_keep_a_path(self, owner: Member) -> None:
        pipeline = await owner.pipeline()
        new, second, *_ = stage_ids(pipeline, "open")
        deal = await owner.deal()
        one = f"/v1/deals/{deal['id']}"
        await move(owner, deal, second)
        assert (await owner.post(f"{one}/win")).json()["status"] == "won"
        assert_problem(await owner.post(f"{one}/win"), 409, "deal_closed")
        assert_problem(await owner.post(f"{one}/lose", {"reason": "x"}), 409, "deal_closed")
        reopened = (await owner.post(f"{one}/reopen")).json()
        assert (reopened["status"], reopened["stage_id"], reopened["closed_at"]) == ("open", second, None)
        assert_problem(await owner.post(f"{one}/reopen", {}), 409, "deal_open")
        lost = (await owner.post(f"{one}/lose", {"reason": "Price"})).json()
        assert (lost["status"], lost["lost_reason"]) == ("lost", "Price")
        back = (await owner.post(f"{one}/reopen", {"stage_id": new})).json()
        assert (back["stage_id"], back["lost_reason"], back["version"]) == (new, None, 6)
        entered = [(entry["from_stage_id"], entry["to_stage_id"]) for entry in await history(owner, deal)]
        assert all(entered[n][0] == entered[n - 1][1] for n in range(1, len(entered)))

    async def test_a_loss_says_why(self, owner: Member) -> None:
        deal = await owner.deal()
        for body in ({}, {"reason": " "}, {"reason": None}):
            assert_problem(await owner.post(f"/v1/deals/{deal['id']}/lose", body), 422, "validation_failed")

    async def test_reopens_in_the_first_open_stage_when_the_old_one_is_retired(self, owner: Member) -> None:
        pipeline = await owner.pipeline()
        new, second, *_ = stage_ids(pipeline, "open")
        deal = await owner.deal(stage_id=second)
        await owner.made(f"/v1/deals/{deal['id']}/win", {})
        assert (await owner.delete(f"/v1/pipelines/{pipeline['id']}/stages/{second}", version=1)).status_code == 204
        assert_problem(await owner.post(f"/v1/deals/{deal['id']}/reopen", {"stage_id": second}), 409, "stage_retired")
        assert (await owner.post(f"/v1/deals/{deal['id']}/reopen")).json()["stage_id"] == new

    async def test_reopens_in_an_open_stage_only(self, owner: Member) -> None:
        deal, won = await owner.deal(), stage_ids(await owner.pipeline(), "won")[0]
        await owner.made(f"/v1/deals/{deal['id']}/win", {})
        answer = await owner.post(f"/v1/deals/{deal['id']}/reopen", {"stage_id": won})
        assert_problem(answer, 422, "stage_not_open")

    async def test_backdated_win_when_nothing_happened_since(self, owner: Member) -> None:
        deal = await owner.deal(occurred_at=ago(days=10))
        after = (await owner.post(f"/v1/deals/{deal['id']}/win", {"occurred_at": ago(days=3)})).json()
        assert datetime.fromisoformat(after["closed_at"]) == NOW - timedelta(days=3)


class TestWonStages:
    async def test_moving_on_among_them_dates_no_win_anew(self, owner: Member) -> None:
        stages = [{"name": "A"}, {"name": "Won", "kind": "won"}, {"name": "Paid", "kind": "won"}]
        pipeline = await owner.made("/v1/pipelines", {"name": "P", "stages": [*stages, {"name": "L", "kind": "lost"}]})
        won, paid = stage_ids(pipeline, "won")
        deal = await owner.deal(pipeline_id=pipeline["id"], occurred_at=ago(days=9))
        await move(owner, deal, won, occurred_at=ago(days=5))
        after = (await move(owner, deal, paid, occurred_at=ago(days=2))).json()
        assert (after["status"], after["stage_id"]) == ("won", paid)
        assert datetime.fromisoformat(after["closed_at"]) == NOW - timedelta(days=5)
        assert datetime.fromisoformat(after["stage_entered_at"]) == NOW - timedelta(days=2)
        assert (await owner.get(f"/v1/deals/{deal['id']}")).json() == after
        assert_problem(await owner.post(f"/v1/deals/{deal['id']}/win"), 409, "deal_closed")
        lost = stage_ids(pipeline, "lost")[0]
        assert_problem(await move(owner, deal, lost, reason="x"), 409, "deal_closed")
        reopened = (await owner.post(f"/v1/deals/{deal['id']}/reopen")).json()
        assert reopened["closed_at"] is None


class TestStaying:
    async def test_an_earlier_entry_learned_later_is_the_only_one(self, owner: Member) -> None:
        second = stage_ids(await owner.pipeline(), "open")[1]
        deal = await owner.deal(occurred_at=ago(days=40))
        await move(owner, deal, second, occurred_at=ago(days=10))
        after = (await move(owner, deal, second, occurred_at=ago(days=38))).json()
        assert datetime.fromisoformat(after["stage_entered_at"]) == NOW - timedelta(days=38)
        again = (await move(owner, deal, second, occurred_at=ago(days=10))).json()
        assert again == after


class TestBackdated:
    """A deal created 30 days ago in New, in Qualified since 20 days, lost 10 days ago, reopened in New 5 days ago."""

    @pytest.fixture
    async def told(self, owner: Member) -> dict[str, Any]:
        pipeline = await owner.pipeline()
        new, qualified, proposal, *_ = stage_ids(pipeline, "open")
        deal = await owner.deal(occurred_at=ago(days=30))
        one = f"/v1/deals/{deal['id']}"
        await owner.made(f"{one}/move", {"stage_id": qualified, "occurred_at": ago(days=20)})
        await owner.made(f"{one}/lose", {"reason": "Price", "occurred_at": ago(days=10)})
        await owner.made(f"{one}/reopen", {"stage_id": new, "occurred_at": ago(days=5)})
        ids = {"New": new, "Qualified": qualified, "Proposal": proposal}
        ids |= {"Won": stage_ids(pipeline, "won")[0], "Lost": stage_ids(pipeline, "lost")[0]}
        return {"deal": (await owner.get(one)).json(), "ids": ids}

    @pytest.mark.parametrize(
        ("days", "stage", "came_from"),
        [
            (25, "Proposal", "New"),
            (20, "Proposal", "Qualified"),
            (15, "Proposal", "Qualified"),
            (15, "New", "Qualified"),
            (25, "Qualified", "New"),
        ],
    )
    async def test_takes_its_place_among_the_older_ones(
        self, owner: Member, told: dict[str, Any], days: int, stage: str, came_from: str
    ) -> None:
        deal, ids = told["deal"], told["ids"]
        after = (await move(owner, deal, ids[stage], occurred_at=ago(days=days))).json()
        same = ("stage_id", "stage_entered_at", "status")
        assert {name: after[name] for name in same} == {name: deal[name] for name in same}
        assert after["version"] == 5
        entries = await history(owner, deal)
        [inserted] = [entry for entry in entries if entry["version"] == 5]
        assert (inserted["from_stage_id"], inserted["to_stage_id"]) == (ids[came_from], ids[stage])
        times = [(entry["occurred_at"], entry["version"]) for entry in entries]
        assert times == sorted(times)
        assert inserted["recorded_at"] > inserted["occurred_at"]

    @pytest.mark.parametrize(
        ("days", "stage", "status", "code"),
        [
            (31, "Proposal", 422, "occurred_before_creation"),
            (-1, "Proposal", 422, "occurred_in_future"),
            (8, "Proposal", 409, "deal_closed"),
            (10, "Proposal", 409, "deal_closed"),
            (15, "Won", 409, "later_stage_entry_exists"),
        ],
    )
    async def test_what_cannot_have_been(
        self, owner: Member, told: dict[str, Any], days: int, stage: str, status: int, code: str
    ) -> None:
        answer = await move(owner, told["deal"], told["ids"][stage], occurred_at=ago(days=days))
        assert_problem(answer, status, code)
        assert len(await history(owner, told["deal"])) == 4

    @pytest.mark.parametrize(("command", "body"), [("win", {}), ("lose", {"reason": "x"})])
    async def test_a_closing_is_never_put_before_later_entries(
        self, owner: Member, told: dict[str, Any], command: str, body: dict[str, Any]
    ) -> None:
        answer = await owner.post(f"/v1/deals/{told['deal']['id']}/{command}", body | {"occurred_at": ago(days=6)})
        assert_problem(answer, 409, "later_stage_entry_exists")

    async def test_where_it_was_then_changes_nothing(self, owner: Member, told: dict[str, Any]) -> None:
        after = await move(owner, told["deal"], told["ids"]["Qualified"], occurred_at=ago(days=15))
        assert after.json() == told["deal"]

    async def test_a_second_one_sees_the_first(self, owner: Member, told: dict[str, Any]) -> None:
        deal, ids = told["deal"], told["ids"]
        await move(owner, deal, ids["Proposal"], occurred_at=ago(days=18))
        await move(owner, deal, ids["New"], occurred_at=ago(days=16))
        latest = (await history(owner, deal))[3]
        assert (latest["from_stage_id"], latest["to_stage_id"]) == (ids["Proposal"], ids["New"])


class TestHistory:
    async def test_both_clocks_actor_and_labels(self, owner: Member) -> None:
        deal = await owner.deal(source="Web", occurred_at=ago(days=2))
        await owner.made(f"/v1/deals/{deal['id']}/lose", {"reason": "Price", "occurred_at": ago(days=1)})
        created, closed = await history(owner, deal)
        assert (created["type"], created["from_stage_id"], created["changes"]["source"]) == (
            "deal.created",
            None,
            "Web",
        )
        assert datetime.fromisoformat(closed["occurred_at"]) == NOW - timedelta(days=1)
        assert datetime.fromisoformat(closed["recorded_at"]) >= NOW
        assert (closed["actor"], closed["actor_id"]) == ("user", str(owner.user_id))
        assert (closed["changes"]["lost_reason"], closed["changes"]["outcome"]) == ("Price", "lost")


def wait_for_waiting(admin_url: str, *, count: int) -> None:
    """Return when so many statements of this database wait for a lock."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        eventually(lambda: admin.execute(waiting).fetchone() == (count,), what=f"{count} wait for a lock", every=0.01)


class TestAtOnce:
    async def test_p7_who_waits_for_a_deal_sees_what_the_one_before_made_of_it(self, crm: Crm, owner: Member) -> None:
        """Two movers come to a locked deal; the second leaves the stage that the first entered."""
        stages = stage_ids(await owner.pipeline(), "open")
        deal = await owner.deal()
        with psycopg.connect(crm.admin_url) as holder:
            holder.execute("select from deals where id = %s for update", (deal["id"],))
            movers = [asyncio.create_task(move(owner, deal, stage)) for stage in stages[1:3]]
            await asyncio.to_thread(wait_for_waiting, crm.admin_url, count=2)
            holder.rollback()
            assert [(await mover).status_code for mover in movers] == [200, 200]
        path = [event["data"] for event in crm.events(deal["id"])]
        assert [after["from_stage_id"] for after in path[1:]] == [before["to_stage_id"] for before in path[:2]]

    async def test_p7_twenty_people_moving_one_deal_leave_a_valid_path(self, crm: Crm, owner: Member) -> None:
        """Versions +1 each, every entry leaves the stage the one before entered."""
        pipeline = await owner.pipeline()
        stages = stage_ids(pipeline, "open")
        deal = await owner.deal()
        people = [crm.member(owner.organization_id, Role.ADMIN) for _ in range(20)]
        draw = random.Random(7)
        plans = [[draw.choice([*stages, "win", "reopen"]) for _ in range(4)] for _ in people]

        async def act(person: Member, plan: list[str]) -> list[int]:
            codes = []
            for step in plan:
                if step in ("win", "reopen"):
                    answer = await person.post(f"/v1/deals/{deal['id']}/{step}")
                else:
                    answer = await move(person, deal, step)
                codes.append(answer.status_code)
            return codes

        codes = await asyncio.gather(*(act(person, plan) for person, plan in zip(people, plans, strict=True)))
        assert {code for one in codes for code in one} <= {200, 409}
        events = crm.events(deal["id"])
        assert [event["aggregate_version"] for event in events] == list(range(1, len(events) + 1))
        positions = [event["position"] for event in events]
        assert positions == sorted(positions)
        kinds = {stage["id"]: stage["kind"] for stage in pipeline["stages"]}
        for before, after in pairwise(events):
            assert after["data"]["from_stage_id"] == before["data"]["to_stage_id"]
            assert after["occurred_at"] >= before["occurred_at"]
            was_closed = kinds[after["data"]["from_stage_id"]] != "open"
            assert was_closed == (after["type"] == "deal.reopened")
        final = (await owner.get(f"/v1/deals/{deal['id']}")).json()
        assert (final["version"], final["stage_id"]) == (len(events), events[-1]["data"]["to_stage_id"])
        assert len(events) > 10
