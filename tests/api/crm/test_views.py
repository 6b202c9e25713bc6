"""Saved views: one's own, a team's, everybody's."""

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

BODY = {"name": "Large", "record_kind": "deal", "filter": [["amount_minor", ">=", 1]], "sort": "-amount_minor"}


async def names(member: Member) -> list[str]:
    return [view["name"] for view in (await member.get("/v1/views")).json()["items"]]


async def test_are_ones_own_until_they_are_shared(crm: Crm, owner: Member, stranger: Member) -> None:
    rep, mate, other = (crm.member(owner.organization_id, Role.REP) for _ in range(3))
    crm.put_in_team(owner.organization_id, manager=owner, members=[rep, mate])
    view = await rep.made("/v1/views", BODY)
    assert (await rep.get(f"/v1/views/{view['id']}")).json() == view
    assert view["filter"] == BODY["filter"]
    path = f"/v1/views/{view['id']}"
    for member in (mate, owner, stranger):
        assert_problem(await member.get(path), 404)
    [team] = (await owner.get("/v1/teams")).json()["items"]
    shared = (await rep.patch(path, {"team_id": team["id"]}, version=1)).json()
    assert (shared["version"], await names(mate), await names(other)) == (2, ["Large"], [])
    await rep.patch(path, {"is_shared": True}, version=2)
    assert (await names(other), await names(stranger)) == (["Large"], [])
    assert_problem(await mate.patch(path, {"name": "Mine"}, version=3), 403)
    assert_problem(await mate.delete(path, version=3), 403)
    assert_problem(await rep.patch(path, {"name": "Late"}, version=1), 412)
    assert (await rep.delete(path, version=3)).status_code == 204
    assert await names(mate) == []


async def test_what_is_no_filter_is_not_saved(owner: Member, stranger: Member) -> None:
    assert_problem(await owner.post("/v1/views", BODY | {"filter": [["x"]]}), 422, "bad_filter")
    crm_team = await stranger.made("/v1/teams", {"name": "Theirs"})
    assert_problem(await owner.post("/v1/views", BODY | {"team_id": crm_team["id"]}), 422, "unknown_reference")
