"""Tags on deals, contacts and companies."""

import json
from typing import Any

import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem


async def made(owner: Member, plural: str, **fields: Any) -> dict[str, Any]:
    return (
        await owner.deal(**fields) if plural == "deals" else await owner.made(f"/v1/{plural}", {"name": "N", **fields})
    )


async def tagged(member: Member, plural: str, tag: str) -> list[str]:
    answer = await member.get(f"/v1/{plural}", params={"filter": json.dumps([["tags", "contains", tag]])})
    assert answer.is_success, answer.text
    return [item["id"] for item in answer.json()["items"]]


@pytest.mark.parametrize("plural", ["deals", "contacts", "companies"])
async def test_are_put_on_taken_off_and_found(crm: Crm, owner: Member, stranger: Member, plural: str) -> None:
    one = await made(owner, plural, tags=["VIP", "renewal", "vip"])
    other = await made(owner, plural)
    assert (one["tags"], other["tags"]) == (["renewal", "VIP"], [])
    assert await tagged(owner, plural, "VIP") == [one["id"]]
    path = f"/v1/{plural}/{one['id']}"
    changed = (await owner.patch(path, {"tags": ["hot"]}, version=1)).json()
    assert (changed["tags"], changed["version"]) == (["hot"], 2)
    assert (await owner.get(path)).json()["tags"] == ["hot"]
    assert (await owner.patch(path, {"tags": ["HOT"]}, version=2)).is_success
    last = crm.events(one["id"])[1]
    assert (last["type"].endswith(".updated"), last["data"]["changed_fields"]) == (True, ["tags"])
    assert "hot" not in str(last["data"])
    assert await tagged(owner, plural, "VIP") == []
    assert await tagged(stranger, plural, "hot") == []
    assert_problem(await owner.patch(path, {"tags": [" "]}, version=2), 422)


async def test_are_listed_and_deleted_by_administrators(crm: Crm, owner: Member, stranger: Member) -> None:
    deal = await owner.deal(tags=["a", "b"])
    await owner.made("/v1/contacts", {"name": "Ada", "tags": ["A"]})
    await stranger.deal(tags=["theirs"])
    listed = (await owner.get("/v1/tags")).json()["items"]
    assert sorted((one["name"], one["records"]) for one in listed) == [("a", 2), ("b", 1)]
    rep = crm.member(owner.organization_id, Role.REP)
    tag = next(one for one in listed if one["name"] == "a")
    assert_problem(await rep.http.delete(f"/v1/tags/{tag['id']}"), 403)
    assert_problem(await stranger.http.delete(f"/v1/tags/{tag['id']}"), 404)
    assert (await owner.http.delete(f"/v1/tags/{tag['id']}")).status_code == 204
    assert (await owner.get(f"/v1/deals/{deal['id']}")).json()["tags"] == ["b"]
