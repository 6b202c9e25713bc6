"""Merging contacts and companies, and telling them apart again: all that refers to them moves, and moves back."""

from typing import Any

import psycopg

from api.duplicates.references import REFERENCES
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.conftest import Database

#: Rows that a merge may change, whole, by table; clocks and versions grow.
_TABLES = (
    "contacts", "companies", "deals", "tasks", "activities", "conversations", "contact_channels",
    "custom_unique_values", "search_documents", "record_tags",
)  # fmt: skip


def world(crm: Crm, owner: Member) -> dict[str, list[dict[str, Any]]]:
    """All rows of an organization that a merge may touch, without what every write moves on."""
    found = {}
    with psycopg.connect(crm.admin_url) as admin:
        for table in _TABLES:
            rows = admin.execute(
                psycopg.sql.SQL(
                    "select to_jsonb(x) - 'version' - 'updated_at' - 'created_at' from {} as x"
                    " where organization_id = %s order by id"
                ).format(psycopg.sql.Identifier(table)),
                (owner.organization_id,),
            ).fetchall()
            found[table] = [row[0] for row in rows]
    return found


async def about(owner: Member, **links: str) -> None:
    """A deal, a task and a note about a record."""
    await owner.deal(**links)
    await owner.made("/v1/tasks", {"title": "Call", **links})
    await owner.made("/v1/notes", {"body": "Called", **links})


async def two(owner: Member) -> tuple[dict[str, Any], dict[str, Any]]:
    ada = {"name": "Ada", "emails": [{"value": "ada@acme.example"}, {"value": "both@acme.example"}]}
    lovelace = {
        "name": "Ada Lovelace",
        "phone": "+49 30 1234567",
        "source": "Fair",
        "external_id": "C-2",
        "emails": [{"value": "lovelace@acme.example"}, {"type": "personal", "value": "BOTH@acme.example"}],
        "handles": [{"type": "x", "value": "ada"}],
    }
    made = [await owner.made("/v1/contacts", body) for body in (ada, lovelace)]
    for one in made:
        await about(owner, contact_id=one["id"])
    return made[0], made[1]


async def test_everything_moves_with_events_and_the_merged_one_is_gone(crm: Crm, owner: Member) -> None:
    ada, other = await two(owner)
    answer = await owner.post(
        f"/v1/contacts/{ada['id']}/merge", {"other_ids": [other["id"]], "fields": {"name": other["id"]}}
    )
    assert answer.status_code == 200, answer.text
    found = (await owner.get(f"/v1/contacts/{ada['id']}")).json()
    assert (found["name"], found["email"], found["phone"]) == ("Ada Lovelace", "ada@acme.example", "+49301234567")
    assert (found["source"], found["external_id"], found["version"]) == ("Fair", None, answer.json()["version"])
    assert {one["value"] for one in found["emails"]} == {
        "ada@acme.example",
        "both@acme.example",
        "lovelace@acme.example",
    }
    assert [one["value"] for one in found["handles"]] == ["ada"]
    for kind in ("deals", "tasks", "notes"):
        assert len((await owner.get(f"/v1/{kind}")).json()["items"]) == 2
    rows = world(crm, owner)
    for table in ("deals", "tasks", "activities"):
        assert {row["contact_id"] for row in rows[table]} == {ada["id"]}
    gone = assert_problem(await owner.get(f"/v1/contacts/{other['id']}"), 410, "merged")
    assert gone["merged_into"] == ada["id"]
    assert_problem(await owner.patch(f"/v1/contacts/{other['id']}", {"name": "x"}, version=1), 410, "merged")
    last = crm.events(other["id"])[-1]
    assert (last["type"], last["data"]) == ("contact.merged", {"survivor_id": ada["id"]})
    assert [crm.events(row["id"])[-1]["type"] for row in rows["deals"]].count("deal.updated") == 1
    [listed] = (await owner.get("/v1/merges")).json()["items"]
    assert (listed["merged_id"], listed["merged_name"]) == (other["id"], "Ada Lovelace")


async def test_undone_at_once_all_is_as_it_was(crm: Crm, owner: Member) -> None:
    ada, other = await two(owner)
    field = await owner.made(
        "/v1/custom-fields", {"record_kind": "contact", "name": "Badge", "type": "text", "is_unique": True}
    )
    custom = {"custom": {field["id"]: "B-1"}}
    assert (await owner.patch(f"/v1/contacts/{other['id']}", custom, version=1)).status_code == 200
    before = world(crm, owner)
    taken = dict.fromkeys(("name", "email", "phone"), other["id"])
    await owner.made(f"/v1/contacts/{ada['id']}/merge", {"other_ids": [other["id"]], "fields": taken})
    survivor = (await owner.get(f"/v1/contacts/{ada['id']}")).json()
    assert (survivor["email"], survivor["custom"]) == ("lovelace@acme.example", custom["custom"])
    await owner.made(f"/v1/contacts/{other['id']}/unmerge", None)
    assert world(crm, owner) == before
    assert crm.events(other["id"])[-1]["type"] == "contact.unmerged"
    assert_problem(await owner.post(f"/v1/contacts/{other['id']}/unmerge"), 404)


async def test_what_was_changed_meanwhile_stays_with_the_survivor(owner: Member) -> None:
    ada, other = await two(owner)
    merged = await owner.made(f"/v1/contacts/{ada['id']}/merge", {"other_ids": [other["id"]]})
    changed = {"phone": "+49 30 7654321"}
    answer = await owner.patch(f"/v1/contacts/{ada['id']}", changed, version=merged["version"])
    assert answer.status_code == 200
    deal = await owner.deal(contact_id=ada["id"], title="Since then")
    await owner.made(f"/v1/contacts/{other['id']}/unmerge", None)
    survivor = (await owner.get(f"/v1/contacts/{ada['id']}")).json()
    assert (survivor["phone"], survivor["source"]) == ("+49307654321", None)
    back = (await owner.get(f"/v1/contacts/{other['id']}")).json()
    assert (back["phone"], back["source"]) == ("+49301234567", "Fair")
    assert (await owner.get(f"/v1/deals/{deal['id']}")).json()["contact_id"] == ada["id"]


async def test_merges_are_undone_the_last_one_first(owner: Member) -> None:
    ids = [(await owner.made("/v1/contacts", {"name": name}))["id"] for name in ("A", "B", "C")]
    await owner.made(f"/v1/contacts/{ids[1]}/merge", {"other_ids": [ids[2]]})
    await owner.made(f"/v1/contacts/{ids[0]}/merge", {"other_ids": [ids[1]]})
    assert assert_problem(await owner.get(f"/v1/contacts/{ids[2]}"), 410)["merged_into"] == ids[0]
    assert_problem(await owner.post(f"/v1/contacts/{ids[2]}/unmerge"), 409, "later_merge")
    for one in (ids[1], ids[2]):
        await owner.made(f"/v1/contacts/{one}/unmerge", None)
    assert len((await owner.get("/v1/contacts")).json()["items"]) == 3


async def test_companies_take_their_contacts_along_and_back(crm: Crm, owner: Member) -> None:
    one, other = [
        await owner.made("/v1/companies", {"name": name, "domain": "acme.example"}) for name in ("Acme", "ACME Inc")
    ]
    await owner.made("/v1/contacts", {"name": "Ada", "company_id": other["id"]})
    await about(owner, company_id=other["id"])
    before = world(crm, owner)
    await owner.made(f"/v1/companies/{one['id']}/merge", {"other_ids": [other["id"]]})
    assert {row["company_id"] for row in world(crm, owner)["contacts"]} == {one["id"]}
    assert_problem(await owner.get(f"/v1/companies/{other['id']}"), 410, "merged")
    await owner.made(f"/v1/companies/{other['id']}/unmerge", None)
    assert world(crm, owner) == before


async def test_nobody_merges_what_they_do_not_see(crm: Crm, owner: Member, stranger: Member) -> None:
    rep = crm.member(owner.organization_id, Role.REP)
    mine, theirs = [(await one.made("/v1/contacts", {"name": "Ada"}))["id"] for one in (rep, owner)]
    foreign = (await stranger.made("/v1/contacts", {"name": "Ada"}))["id"]
    for other in (theirs, foreign):
        assert_problem(await rep.post(f"/v1/contacts/{mine}/merge", {"other_ids": [other]}), 404)
    assert_problem(await rep.post(f"/v1/contacts/{mine}/merge", {"other_ids": [mine]}), 422, "bad_merge")
    await owner.made(f"/v1/contacts/{theirs}/merge", {"other_ids": [mine]})
    assert_problem(await rep.get(f"/v1/contacts/{mine}"), 404)
    assert (await rep.get("/v1/merges")).json()["items"] == []
    assert_problem(await rep.post(f"/v1/contacts/{mine}/unmerge"), 404)
    assert_problem(await stranger.post(f"/v1/contacts/{mine}/unmerge"), 404)


def test_every_reference_to_a_record_is_listed(crm_database: Database) -> None:
    with psycopg.connect(crm_database.admin_url) as admin:
        keys = admin.execute("""
            select t.relname, s.relname, a.attname from pg_constraint as c
            join pg_class as s on s.oid = c.conrelid join pg_class as t on t.oid = c.confrelid
            join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[2]
            where c.contype = 'f' and t.relname in ('contacts', 'companies')
        """).fetchall()
    tables = {"contact": "contacts", "company": "companies"}
    listed = {(tables[kind], one.table, one.column) for kind, many in REFERENCES.items() for one in many}
    tagged = {("contacts", "record_tags", "record_id"), ("companies", "record_tags", "record_id")}
    assert {*keys, *tagged} == listed


class TestDuplicates:
    async def test_what_is_the_same_is_listed_with_its_reason(self, owner: Member, stranger: Member) -> None:
        await stranger.made("/v1/contacts", {"name": "Ada", "email": "ada@acme.example"})
        company = await owner.made("/v1/companies", {"name": "Acme", "domain": "www.acme.example"})
        await owner.made("/v1/companies", {"name": "Acme Inc", "domain": "ACME.example"})
        bodies = (
            {"name": "Ada", "email": "ada@acme.example", "company_id": company["id"]},
            {"name": "Lovelace", "emails": [{"value": "x@y.example"}, {"value": "ADA@acme.example"}]},
            {"name": "ADA", "phone": "+49 30 1234567", "company_id": company["id"]},
            {"name": "Bob", "phone": "030 1234567"},
        )
        ids = [(await owner.made("/v1/contacts", body))["id"] for body in bodies]
        items = (await owner.get("/v1/duplicates", params={"kind": "contacts"})).json()["items"]
        pairs = {(one["reason"], *sorted(record["id"] for record in one["records"])) for one in items}
        assert pairs == {
            ("same_email", *sorted(ids[:2])),
            ("same_phone", *sorted(ids[2:])),
            ("same_name_and_company", *sorted((ids[0], ids[2]))),
        }
        [found] = (await owner.get("/v1/duplicates", params={"kind": "companies"})).json()["items"]
        assert (found["reason"], found["score"]) == ("same_domain", 1.0)

    async def test_what_looks_alike_is_a_suggestion(self, owner: Member) -> None:
        for name in ("Katharina Lindemann", "Lindeman, Katharina", "Kurt Lindwurm", "Bob Builder"):
            await owner.made("/v1/contacts", {"name": name})
        asked = {"kind": "contacts", "method": "similar"}
        [pair] = (await owner.get("/v1/duplicates", params=asked)).json()["items"]
        assert {one["name"] for one in pair["records"]} == {"Katharina Lindemann", "Lindeman, Katharina"}
        assert 0.9 < pair["score"] < 1

    async def test_a_pair_that_was_told_apart_is_asked_about_no_more(self, owner: Member, stranger: Member) -> None:
        named = {"name": "Katharina Lindemann", "email": "office@acme.example"}
        ids = [(await owner.made("/v1/contacts", named))["id"] for _ in range(2)]

        async def listed() -> list[int]:
            asked = [{"kind": "contacts", "method": method} for method in ("same", "similar")]
            return [len((await owner.get("/v1/duplicates", params=one)).json()["items"]) for one in asked]

        assert await listed() == [1, 1]
        verdict = {"kind": "contacts", "ids": ids[::-1]}
        assert_problem(await stranger.post("/v1/duplicates/verdict", verdict), 404)
        assert_problem(await owner.post("/v1/duplicates/verdict", verdict | {"ids": [ids[0], ids[0]]}), 404)
        assert_problem(await owner.post("/v1/duplicates/verdict", verdict | {"kind": "companies"}), 404)
        for _ in range(2):
            assert (await owner.post("/v1/duplicates/verdict", verdict)).status_code == 204
            assert await listed() == [0, 0]
        told = await owner.get("/v1/duplicates", params={"kind": "contacts", "method": "distinct"})
        assert [{one["id"] for one in pair["records"]} for pair in told.json()["items"]] == [set(ids)]
        told = await stranger.get("/v1/duplicates", params={"kind": "contacts", "method": "distinct"})
        assert told.json()["items"] == []
        assert (await owner.post("/v1/duplicates/verdict", verdict | {"are_distinct": False})).status_code == 204
        assert await listed() == [1, 1]
