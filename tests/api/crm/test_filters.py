"""The filter language and the sort of lists, on fields that there always are and on custom ones."""

import json
from typing import Any

import pytest

from tests.api.crm.conftest import Member, assert_problem


async def titles(owner: Member, *conditions: list[Any], sort: str | None = None, **more: Any) -> list[str]:
    params = more | {"filter": json.dumps(conditions)} | ({"sort": sort} if sort else {})
    answer = await owner.get("/v1/deals", params=params)
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


async def test_conditions_must_all_hold(owner: Member) -> None:
    await owner.deal(title="Small", amount_minor=100, close_date="2026-05-01", source="Fair")
    await owner.deal(title="Large 10%", amount_minor=900, close_date="2026-06-01", source="Website")
    await owner.deal(title="Unknown", owner_id=None)
    assert await titles(owner, ["amount_minor", ">=", 100]) == ["Large 10%", "Small"]
    assert await titles(owner, ["amount_minor", "<", 900.5], ["close_date", ">", "2026-05-15"]) == ["Large 10%"]
    assert await titles(owner, ["amount_minor", "empty", True]) == ["Unknown"]
    assert await titles(owner, ["amount_minor", "!=", 100]) == ["Unknown", "Large 10%"]
    assert await titles(owner, ["source", "=", "WEBSITE"]) == ["Large 10%"]
    assert await titles(owner, ["title", "contains", "0%"]) == ["Large 10%"]
    assert await titles(owner, ["title", "in", ["small", "unknown"]]) == ["Unknown", "Small"]
    assert await titles(owner, ["owner_id", "empty", True]) == ["Unknown"]
    assert await titles(owner, ["owner_id", "=", str(owner.user_id)], ["created_at", ">", "2026-01-01T00:00:00Z"])
    assert await titles(owner, ["title", "in", []]) == []


async def test_custom_fields_of_each_kind(owner: Member) -> None:
    async def made(type_: str, **more: Any) -> dict[str, Any]:
        return await owner.made("/v1/custom-fields", {"record_kind": "deal", "name": type_, "type": type_, **more})

    seats, until, cost = await made("number"), await made("date"), await made("money")
    tags = await made("choices", choices=[{"label": "Red"}, {"label": "Blue"}])
    red, blue = (choice["id"] for choice in tags["choices"])
    few = {seats["id"]: 9, until["id"]: "2026-05-01", tags["id"]: [red]}
    many = {seats["id"]: 10, cost["id"]: {"amount_minor": 5, "currency": "EUR"}, tags["id"]: [red, blue]}
    await owner.deal(title="Few", custom=few)
    await owner.deal(title="Many", custom=many)
    await owner.deal(title="None")
    assert await titles(owner, [f"custom.{seats['id']}", "<", 10]) == ["Few"]
    assert await titles(owner, [f"custom.{until['id']}", "<=", "2026-05-01"]) == ["Few"]
    assert await titles(owner, [f"custom.{cost['id']}", "=", 5]) == ["Many"]
    assert await titles(owner, [f"custom.{tags['id']}", "contains", blue]) == ["Many"]
    assert await titles(owner, [f"custom.{tags['id']}", "empty", True]) == ["None"]
    assert await titles(owner, sort=f"-custom.{seats['id']}") == ["Many", "Few", "None"]
    assert await titles(owner, sort=f"custom.{seats['id']}") == ["None", "Few", "Many"]


@pytest.mark.parametrize("sort", ["amount_minor", "-amount_minor", "title", "-close_date", "-updated_at"])
async def test_p4_sorted_pages_hold_each_row_once(owner: Member, sort: str) -> None:
    for number in range(9):
        await owner.deal(title=f"D{number}", amount_minor=None if number % 4 == 0 else number % 3)
    seen, cursor = [], None
    while True:
        params = {"sort": sort, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await owner.get("/v1/deals", params=params)).json()
        seen += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == [f"D{number}" for number in range(9)]
    assert seen == await titles(owner, sort=sort)


async def test_contacts_companies_and_tasks_take_it_too(owner: Member) -> None:
    await owner.made("/v1/companies", {"name": "Acme", "employee_count": 400, "industry": "Software"})
    await owner.made("/v1/contacts", {"name": "Ada", "source": "Fair"})
    await owner.made("/v1/tasks", {"title": "Call", "due_at": "2026-05-01T09:00:00Z"})
    for path, condition in (
        ("companies", ["employee_count", ">", 300]),
        ("companies", ["industry", "=", "software"]),
        ("contacts", ["source", "=", "Fair"]),
        ("tasks", ["due_at", "<", "2026-06-01T00:00:00Z"]),
    ):
        answer = await owner.get(f"/v1/{path}", params={"filter": json.dumps([condition]), "sort": "-created_at"})
        assert len(answer.json()["items"]) == 1, (path, answer.text)


@pytest.mark.parametrize(
    ("filter_", "words"),
    [
        ("no", "JSON"),
        ("{}", "list"),
        ('[["title"]]', "three"),
        ('[["titel", "=", "x"]]', "titel"),
        ('[["organization_id", "empty", false]]', "organization_id"),
        ('[["amount_minor", "contains", 1]]', "contains"),
        ('[["amount_minor", "=", "1"]]', "number"),
        ('[["amount_minor", "=", NaN]]', "number"),
        ('[["close_date", "=", "May"]]', "day"),
        ('[["created_at", ">", "2026-05-01T00:00:00"]]', "instant"),
        ('[["owner_id", "=", 5]]', "id"),
        ('[["custom.x", "=", "1"]]', "custom.x"),
        ('[["title", "=", "\\u0000"]]', "text"),
    ],
)
async def test_what_it_cannot_follow_is_said(owner: Member, filter_: str, words: str) -> None:
    problem = assert_problem(await owner.get("/v1/deals", params={"filter": filter_}), 422, "bad_filter")
    assert words in problem["detail"]
    assert_problem(await owner.get("/v1/deals", params={"sort": "owner_id"}), 422, "bad_filter")
