"""Contacts are reached in many ways: typed addresses, one primary, found by any of them."""

from typing import Any

import psycopg
import pytest

from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.api.crm.test_conversations import account, mail, take_in


def values(contact: dict[str, Any], field: str) -> list[tuple[str, str, bool]]:
    return [(one["type"], one["value"], one["is_primary"]) for one in contact[field]]


async def test_the_fields_alone_are_the_primary_ones(owner: Member) -> None:
    made = await owner.made("/v1/contacts", {"name": "Ada", "email": "ada@acme.example", "phone": "030 1234567"})
    path = f"/v1/contacts/{made['id']}"
    assert (await owner.get(path)).json() == made
    assert made["phone"] == "+49301234567"
    assert values(made, "emails") == [("work", "ada@acme.example", True)]
    assert made["phones"][0]["shown"] == "+49 30 1234567"
    changed = (await owner.patch(path, {"email": "ada@home.example", "phone": None}, version=1)).json()
    assert values(changed, "emails") == [("work", "ada@home.example", True)]
    assert changed["phones"] == []
    assert (await owner.get(path)).json() == changed


async def test_lists_replace_what_was_there_and_lead_to_the_fields(crm: Crm, owner: Member) -> None:
    body = {
        "name": "Ada",
        "emails": [
            {"type": "personal", "value": "ada@home.example"},
            {"type": "work", "value": "ada@acme.example", "is_primary": True},
        ],
        "handles": [{"type": "telegram", "value": "@Ada"}],
    }
    made = await owner.made("/v1/contacts", body)
    path = f"/v1/contacts/{made['id']}"
    assert (made["email"], made["phone"]) == ("ada@acme.example", None)
    assert made["handles"] == [{"type": "telegram", "value": "@Ada"}]
    assert (await owner.get(path)).json() == made
    # a known one that becomes the primary one stands once, and keeps its type
    moved = (await owner.patch(path, {"email": "ada@home.example"}, version=1)).json()
    assert values(moved, "emails") == [("personal", "ada@home.example", True)]
    assert (await owner.get(path)).json() == moved
    same = (await owner.patch(path, {"emails": [{"type": "personal", "value": "ada@home.example"}]}, version=2)).json()
    assert same["version"] == 2
    emptied = (await owner.patch(path, {"emails": [], "handles": []}, version=2)).json()
    assert (emptied["email"], emptied["emails"], emptied["handles"]) == (None, [], [])
    last = crm.events(made["id"])[-1]
    assert last["data"]["changed_fields"] == ["email", "emails", "handles"]
    assert "home.example" not in str(crm.events(made["id"]))


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"phone": "call me"}, "/phone", "bad_phone"),
        ({"phone": "12"}, "/phone", "bad_phone"),
        ({"phones": [{"value": "030 1234567"}, {"value": "+49"}]}, "/phones/1/value", "bad_phone"),
        ({"emails": [{"value": "a@b.example"}, {"value": "A@B.example"}]}, "/emails", "bad_channels"),
        ({"phones": [{"value": "030 1234567"}, {"value": "+49301234567"}]}, "/phones", "bad_channels"),
        ({"email": "c@b.example", "emails": [{"value": "a@b.example"}]}, "/email", "bad_channels"),
    ],
)
async def test_what_cannot_be_is_refused_at_its_field(
    owner: Member, body: dict[str, Any], pointer: str, code: str
) -> None:
    problem = assert_problem(await owner.post("/v1/contacts", {"name": "Ada", **body}), 422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert (await owner.get("/v1/contacts")).json()["items"] == []


async def test_a_number_without_country_needs_one_where_the_zone_has_none(crm: Crm, owner: Member) -> None:
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute("update organizations set time_zone = 'UTC' where organization_id = %s", (owner.organization_id,))
    problem = assert_problem(await owner.post("/v1/contacts", {"name": "Ada", "phone": "030 1234567"}), 422)
    assert "country code" in problem["detail"]
    await owner.made("/v1/contacts", {"name": "Ada", "phone": "+49 30 1234567"})


async def test_a_conversation_finds_its_contact_by_any_address(owner: Member) -> None:
    body = {"name": "Ada", "emails": [{"value": "first@b.example"}, {"type": "personal", "value": "ADA@acme.example"}]}
    made = await owner.made("/v1/contacts", body)
    [taken] = await take_in(owner, await account(owner), mail(1))
    found = (await owner.get(f"/v1/conversations/{taken['conversation_id']}")).json()
    assert found["contact_id"] == made["id"]


async def test_an_older_version_that_writes_the_row_keeps_its_channels(crm: Crm, owner: Member) -> None:
    made = await owner.made("/v1/contacts", {"name": "Ada", "email": "ada@acme.example"})
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute(
            "update contacts set email = 'new@acme.example', phone = '(030) 12-34' where id = %s", (made["id"],)
        )
    found = (await owner.get(f"/v1/contacts/{made['id']}")).json()
    assert values(found, "emails") == [("work", "new@acme.example", True)]
    assert values(found, "phones") == [("work", "(030) 12-34", True)]


async def test_many_contacts_that_one_statement_makes_and_changes_keep_what_goes_with_each(
    crm: Crm, owner: Member
) -> None:
    people = [f"Person {number}" for number in range(40)]
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute(
            "insert into contacts (organization_id, id, version, name, email, phone, custom)"
            " select %s, uuidv7(), 1, n, lower(replace(n, ' ', '')) || '@made.example', '+4930' || (1000000 + o), '{}'"
            " from unnest(%s::text[]) with ordinality as x (n, o)",
            (owner.organization_id, people),
        )
        admin.commit()
        made = (await owner.get("/v1/contacts", params={"limit": 50, "q": "Person"})).json()["items"]
        assert sorted(one["name"] for one in made) == sorted(people)
        assert all(
            values(one, "emails") == [("work", one["email"], True)]
            and values(one, "phones") == [("work", one["phone"], True)]
            for one in made
        )
        # a first of one row, whose plans are kept; of the others every second has another address
        admin.execute("update contacts set version = 2 where id = %s", (made[0]["id"],))
        admin.execute(
            "update contacts set email = case when phone like '%%2' then null else md5(email) || '@new.example' end,"
            " phone = case when phone like '%%1' then null else phone end where name like 'Person %%5'"
            " or phone like '%%2' or phone like '%%1'"
        )
        admin.execute("delete from contacts where name = 'Person 38'")
    after = {one["id"]: one for one in (await owner.get("/v1/contacts", params={"limit": 50})).json()["items"]}
    assert len(after) == len(made) - 1
    for one in after.values():
        assert values(one, "emails") == ([("work", one["email"], True)] if one["email"] else [])
        assert values(one, "phones") == ([("work", one["phone"], True)] if one["phone"] else [])
        assert one["id"] in await _found(owner, one["email"] or one["phone"])
    gone = [one for one in made if one["id"] not in after or one["email"] != after[one["id"]]["email"]]
    assert len(gone) == 12 + 1
    for one in gone:  # what nobody has any more
        assert one["id"] not in await _found(owner, one["email"])


async def _found(member: Member, q: str) -> list[str]:
    """The contacts that have just this; a search finds what is like it too."""
    hits = (await member.get("/v1/search", params={"q": q, "kind": "contact"})).json()["items"]
    return [hit["id"] for hit in hits if hit["score"] >= 0.8]
