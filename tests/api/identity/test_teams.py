"""Teams: a tree without cycles, and one team per user at a time."""

import asyncio
from typing import Any

import psycopg

from api.kernel.caller import Caller
from api.kernel.visibility import owners_seen
from contracts.access import RecordScope, Role
from tests.conftest import Database
from tests.factories import Account, Api


async def team(owner: Account, name: str, **fields: Any) -> dict[str, Any]:
    return await owner.made("/v1/teams", json={"name": name, **fields})


async def put(owner: Account, team_id: str, user: Account, **fields: Any) -> dict[str, Any]:
    return await owner.made(f"/v1/teams/{team_id}/members", json={"user_id": str(user.user_id), **fields})


def events(database: Database, team_id: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.admin_url) as admin:
        return admin.execute(
            "select type, aggregate_version, data->>'user_id', occurred_at from event_log"
            " where aggregate_id = %s order by aggregate_version",
            (team_id,),
        ).fetchall()


class TestTree:
    async def test_a_team_cannot_go_below_itself(self, owner: Account) -> None:
        top = await team(owner, "Top")
        middle = await team(owner, "Middle", parent_team_id=top["id"])
        low = await team(owner, "Low", parent_team_id=middle["id"])
        for below in (top, middle, low):
            answer = await owner.patch(f"/v1/teams/{top['id']}", json={"parent_team_id": below["id"]})
            assert (answer.status_code, answer.json()["code"]) == (409, "team_cycle")
        moved = await owner.patch(f"/v1/teams/{low['id']}", json={"parent_team_id": top["id"]})
        assert moved.json()["parent_team_id"] == top["id"]
        freed = await owner.patch(f"/v1/teams/{low['id']}", json={"parent_team_id": None})
        assert freed.json()["parent_team_id"] is None

    async def test_two_moves_at_once_make_no_cycle(self, owner: Account) -> None:
        one, two = await team(owner, "One"), await team(owner, "Two")
        answers = await asyncio.gather(
            owner.patch(f"/v1/teams/{one['id']}", version=1, json={"parent_team_id": two["id"]}),
            owner.patch(f"/v1/teams/{two['id']}", version=1, json={"parent_team_id": one["id"]}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]

    async def test_closing_ends_memberships_and_needs_closed_teams_below(
        self, api_database: Database, owner: Account
    ) -> None:
        top = await team(owner, "Closing")
        low = await team(owner, "Below", parent_team_id=top["id"])
        rep = await owner.add_user()
        await put(owner, top["id"], rep)
        refused = await owner.patch(f"/v1/teams/{top['id']}", json={"is_active": False})
        assert refused.json()["code"] == "team_has_subteams"
        assert (await owner.patch(f"/v1/teams/{low['id']}", json={"is_active": False})).status_code == 200
        closed = await owner.patch(f"/v1/teams/{top['id']}", json={"is_active": False})
        assert closed.json()["is_active"] is False
        assert [event[0] for event in events(api_database, top["id"])] == [
            "team.created",
            "team.member.added",
            "team.member.removed",
            "team.updated",
        ]
        assert (await owner.post(f"/v1/teams/{top['id']}/members", json={"user_id": str(rep.user_id)})).json()[
            "code"
        ] == "team_closed"
        await team(owner, "closing")  # the name is free again


class TestMembers:
    async def test_a_user_moves_from_team_to_team(self, api_database: Database, owner: Account) -> None:
        north, south = await team(owner, "North"), await team(owner, "South")
        rep = await owner.add_user()
        await put(owner, north["id"], rep, occurred_at="2026-01-01T00:00:00Z")
        await put(owner, south["id"], rep, occurred_at="2026-03-01T00:00:00+01:00")
        [past] = (await owner.read(f"/v1/teams/{north['id']}/members", params={"with_past": True}))["items"]
        assert (past["started_at"], past["ended_at"]) == ("2026-01-01T00:00:00Z", "2026-02-28T23:00:00Z")
        assert (await owner.read(f"/v1/teams/{north['id']}/members"))["items"] == []
        assert (await rep.read("/v1/me"))["team_id"] == south["id"]
        removed, added = events(api_database, north["id"])[-1], events(api_database, south["id"])[-1]
        assert (removed[0], added[0]) == ("team.member.removed", "team.member.added")
        assert removed[2] == added[2] == str(rep.user_id)
        assert removed[3] == added[3]

    async def test_a_change_before_the_present_membership_is_refused(self, owner: Account) -> None:
        north, south = await team(owner, "N"), await team(owner, "S")
        rep = await owner.add_user()
        await put(owner, north["id"], rep, occurred_at="2026-01-01T00:00:00Z")
        early = {"user_id": str(rep.user_id), "occurred_at": "2025-01-01T00:00:00Z"}
        answer = await owner.post(f"/v1/teams/{south['id']}/members", json=early)
        assert (answer.status_code, answer.json()["code"]) == (409, "membership_overlap")
        future = {"user_id": str(rep.user_id), "occurred_at": "2199-01-01T00:00:00Z"}
        answer = await owner.post(f"/v1/teams/{south['id']}/members", json=future)
        assert (answer.status_code, answer.json()["code"]) == (422, "in_the_future")

    async def test_parallel_moves_leave_one_membership(self, owner: Account) -> None:
        teams = [await team(owner, f"Team {number}") for number in range(6)]
        rep = await owner.add_user()
        await asyncio.gather(*(put(owner, made["id"], rep) for made in teams))
        current = [(await owner.read(f"/v1/teams/{made['id']}/members"))["items"] for made in teams]
        assert sum(map(len, current)) == 1

    async def test_leaving(self, owner: Account) -> None:
        north = await team(owner, "Leaving")
        rep = await owner.add_user()
        await put(owner, north["id"], rep)
        path = f"/v1/teams/{north['id']}/members/{rep.user_id}"
        assert (await owner.delete(path, version=1)).status_code == 412
        assert (await owner.delete(path, version=2)).status_code == 204
        assert (await owner.delete(path, version=3)).status_code == 404


class TestRecordScope:
    async def seen(self, api: Api, account: Account, scope: RecordScope) -> set[Any] | None:
        caller = Caller(
            user_id=account.user_id,
            organization_id=account.organization_id,
            session_id=account.user_id,
            role=Role.MANAGER,
            record_scope=scope,
            correlation_id=account.user_id,
        )
        async with api.app.state.services.database.reading(caller.context) as unit:
            found = await owners_seen(unit, caller)
        return None if found is None else set(found)

    async def test_follows_the_tree(self, api: Api, owner: Account) -> None:
        boss, lead, rep, peer, other = [await owner.add_user() for _ in range(5)]
        top = await team(owner, "Scope top", manager_id=str(boss.user_id))
        low = await team(owner, "Scope low", parent_team_id=top["id"], manager_id=str(lead.user_id))
        side = await team(owner, "Scope side")
        for user in (rep, peer):
            await put(owner, low["id"], user)
        await put(owner, side["id"], other)
        mates = {lead.user_id, rep.user_id, peer.user_id}
        assert await self.seen(api, rep, RecordScope.OWN) == {rep.user_id}
        assert await self.seen(api, rep, RecordScope.TEAM) == mates
        assert await self.seen(api, lead, RecordScope.TEAM) == mates
        assert await self.seen(api, boss, RecordScope.TEAM) == {boss.user_id}
        assert await self.seen(api, boss, RecordScope.SUBTREE) == mates | {boss.user_id}
        assert await self.seen(api, boss, RecordScope.ALL) is None


class TestOrganization:
    async def test_settings_change_with_an_event_of_the_whole_state(
        self, api_database: Database, owner: Account
    ) -> None:
        path = f"/v1/organizations/{owner.organization_id}"
        changes = {"time_zone": "Asia/Kathmandu", "currency": "JPY", "week_start": 7, "fiscal_year_start_month": 4}
        changed = await owner.patch(path, json=changes)
        assert changed.json().items() >= changes.items()
        with psycopg.connect(api_database.admin_url) as admin:
            row = admin.execute(
                "select data from event_log where type = 'organization.updated' and organization_id = %s",
                (owner.organization_id,),
            ).fetchone()
        assert row == (changes,)
        for wrong in (
            {"time_zone": "Mars/Olympus"},
            {"time_zone": "localtime"},
            {"currency": "eur"},
            {"week_start": 8},
        ):
            assert (await owner.patch(path, json=wrong)).status_code == 422


class TestPicklists:
    async def test_values_are_made_by_use_and_listed(self, owner: Account) -> None:
        for industry in ("Software", "software", "Steel"):
            await owner.made("/v1/companies", json={"name": "C", "industry": industry})
        values = (await owner.read("/v1/picklists/industry"))["items"]
        assert [value["label"] for value in values] == ["Software", "Steel"]
        assert (await owner.get("/v1/picklists/shoe_size")).status_code == 404

    async def test_parallel_use_makes_one_value(self, owner: Account) -> None:
        await asyncio.gather(
            *(owner.made("/v1/companies", json={"name": "C", "industry": "Parallel"}) for _ in range(10))
        )
        assert len((await owner.read("/v1/picklists/industry"))["items"]) == 1
