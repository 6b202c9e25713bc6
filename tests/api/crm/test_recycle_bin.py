"""Deleted and back: deals, tasks and notes; and what the worker takes out after 90 days."""

from typing import Any

import psycopg
import pytest

from api.kernel.database import Database as Pool
from api.recycle_bin import worker
from api.recycle_bin.worker import purge
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.conftest import Database


async def binned(member: Member, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await member.get("/v1/recycle-bin", params={"kind": kind})).json()["items"]
    return found


_ADA = {
    "name": "Ada Lovelace",
    "emails": [{"type": "work", "value": "ada@a.example"}, {"type": "personal", "value": "ada@home.example"}],
    "handles": [{"type": "telegram", "value": "ada"}],
    "external_id": "X-1",
    "tags": ["Old"],
}


async def made(owner: Member, kind: str) -> tuple[str, dict[str, Any]]:
    if kind == "deal":
        return "/v1/deals", await owner.deal(tags=["Old"])
    if kind == "task":
        return "/v1/tasks", await owner.made("/v1/tasks", {"title": "Call"})
    if kind == "contact":
        return "/v1/contacts", await owner.made("/v1/contacts", _ADA)
    if kind == "company":
        return "/v1/companies", await owner.made(
            "/v1/companies", {"name": "Acme", "external_id": "X-1", "tags": ["Old"]}
        )
    if kind == "file":
        deal = await owner.deal()
        answer = await owner.http.post("/v1/files", files={"file": ("a.txt", b"A")}, data={"deal_id": deal["id"]})
        return "/v1/files", answer.json()
    return "/v1/notes", await owner.made("/v1/notes", {"body": "Said yes"})


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        ("deal", ["deal.created", "deal.deleted", "deal.restored"]),
        ("task", ["task.created", "task.deleted", "task.restored"]),
        ("activity", ["activity.logged", "activity.deleted", "activity.restored"]),
        ("file", ["file.attached", "file.deleted", "file.restored"]),
        ("contact", ["contact.created", "contact.deleted", "contact.restored"]),
        ("company", ["company.created", "company.deleted", "company.restored"]),
    ],
)
async def test_what_was_deleted_is_restored_as_it_was(
    crm: Crm, owner: Member, stranger: Member, kind: str, events: list[str]
) -> None:
    path, one = await made(owner, kind)
    assert (await owner.delete(f"{path}/{one['id']}", version=1)).status_code == 204
    [item] = await binned(owner, kind)
    assert (item["id"], item["kind"]) == (one["id"], kind)
    assert await binned(stranger, kind) == []
    back = f"/v1/recycle-bin/{kind}/{one['id']}/restore"
    assert_problem(await stranger.post(back), 404)
    restored = await owner.made(back, None)
    assert restored == {"id": one["id"], "version": 3, "kind": kind}
    now = (await owner.get(f"{path}/{one['id']}")).json()
    assert {**now, "updated_at": 0, "version": 0} == {**one, "updated_at": 0, "version": 0}
    assert [event["type"] for event in crm.events(one["id"])] == events
    assert await binned(owner, kind) == []
    assert_problem(await owner.post(back), 404)


async def test_only_who_saw_a_deal_restores_it(crm: Crm, owner: Member) -> None:
    deal = await owner.deal()
    await owner.delete(f"/v1/deals/{deal['id']}", version=1)
    rep, analyst = (crm.member(owner.organization_id, role) for role in (Role.REP, Role.ANALYST))
    back = f"/v1/recycle-bin/deal/{deal['id']}/restore"
    assert await binned(rep, "deal") == []
    assert_problem(await rep.post(back), 404)
    assert_problem(await analyst.post(back), 403)


async def test_an_external_id_that_another_deal_took_meanwhile_is_said(owner: Member) -> None:
    deal = await owner.deal(external_id="X-1")
    await owner.delete(f"/v1/deals/{deal['id']}", version=1)
    await owner.deal(external_id="X-1")
    assert_problem(await owner.post(f"/v1/recycle-bin/deal/{deal['id']}/restore"), 409, "external_id_taken")


async def test_values_of_custom_fields_are_told_anew(crm: Crm, owner: Member) -> None:
    field = await owner.made(
        "/v1/custom-fields", {"record_kind": "deal", "name": "Seats", "type": "number", "is_personal": False}
    )
    deal = await owner.deal(custom={field["id"]: 7})
    await owner.delete(f"/v1/deals/{deal['id']}", version=deal["version"])
    await owner.made(f"/v1/recycle-bin/deal/{deal['id']}/restore", None)
    restored, told = crm.events(deal["id"])[-2:]
    assert (restored["type"], told["type"]) == ("deal.restored", "deal.custom.changed")
    assert told["data"]["custom"] == {field["id"]: "7"}


async def test_after_90_days_the_worker_takes_it_out(
    crm: Crm, crm_database: Database, owner: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal, young = await owner.deal(title="CANARY", external_id="C"), await owner.deal()
    task, other = [await owner.made("/v1/tasks", {"title": "CANARY"}) for _ in range(2)]
    tasks = [f"/v1/tasks/{one['id']}" for one in (task, other)]
    for path in (f"/v1/deals/{deal['id']}", f"/v1/deals/{young['id']}", *tasks):
        assert (await owner.delete(path, version=1)).status_code == 204
    with psycopg.connect(crm.admin_url) as admin:
        for table, one in (("deals", deal), ("tasks", task), ("tasks", other)):
            admin.execute(
                f"update {table} set deleted_at = now() - interval '90 days 1 second' where id = %s", (one["id"],)
            )
    pool = Pool(crm_database.worker_url)
    monkeypatch.setattr(worker, "AT_ONCE", 1)
    assert await purge(pool) == 1
    assert await purge(pool) == 0
    await pool.close()
    assert [item["id"] for item in await binned(owner, "deal")] == [young["id"]]
    assert await binned(owner, "task") == []
    assert_problem(await owner.post(f"/v1/recycle-bin/deal/{deal['id']}/restore"), 404)
    with psycopg.connect(crm.admin_url) as admin:
        assert admin.execute("select title from deals where id = %s", (deal["id"],)).fetchall() == [("(deleted)",)]
        gone = [task["id"], other["id"]]
        assert admin.execute("select count(*) from tasks where id = any(%s)", (gone,)).fetchone() == (0,)


async def test_a_contact_in_the_bin_is_found_nowhere_and_frees_what_is_unique(
    crm: Crm, crm_database: Database, owner: Member
) -> None:
    field = {"record_kind": "contact", "name": "Passport", "type": "text", "is_personal": True, "is_unique": True}
    passport = await owner.made("/v1/custom-fields", field)
    company = await owner.made("/v1/companies", {"name": "Acme"})
    body = {**_ADA, "company_id": company["id"], "custom": {passport["id"]: "P-1"}}
    ada = await owner.made("/v1/contacts", body)
    twin = await owner.made("/v1/contacts", {"name": "Ada Lovelace", "company_id": company["id"]})
    path, about = f"/v1/contacts/{ada['id']}", {"contact_id": ada["id"]}
    note = await owner.made("/v1/notes", {"body": "Likes tea", **about})
    assert (await owner.get("/v1/duplicates", params={"kind": "contacts"})).json()["items"]
    assert_problem(await owner.delete(path, version=7), 412)
    assert (await owner.delete(path, version=ada["version"])).status_code == 204
    for where in (path, f"{path}/timeline"):
        assert_problem(await owner.get(where), 404)
    listed = (await owner.get("/v1/contacts", params={"company_id": company["id"]})).json()["items"]
    assert [one["id"] for one in listed] == [twin["id"]]
    assert (await owner.get("/v1/duplicates", params={"kind": "contacts"})).json()["items"] == []
    found = (await owner.get("/v1/search", params={"q": "lovelace"})).json()["items"]
    assert [one["id"] for one in found] == [twin["id"]]
    assert_problem(await owner.post("/v1/tasks", {"title": "Call", **about}), 422, "unknown_reference")
    deal = await owner.deal()
    for answer in (
        await owner.post("/v1/deals", {"title": "New", "pipeline_id": deal["pipeline_id"], **about}),
        await owner.patch(f"/v1/deals/{deal['id']}", about, version=deal["version"]),
    ):
        assert_problem(answer, 422, "unknown_reference")
    assert_problem(await owner.patch(path, {"name": "A"}, version=2), 404)
    assert_problem(await owner.post(f"/v1/contacts/{twin['id']}/merge", {"other_ids": [ada["id"]]}), 404)
    assert (await owner.get(f"/v1/notes/{note['id']}")).json()["contact_id"] == ada["id"]
    other = await owner.made("/v1/contacts", body)
    back = f"/v1/recycle-bin/contact/{ada['id']}/restore"
    assert (await owner.post(back)).status_code == 409
    assert (await owner.delete(f"/v1/contacts/{other['id']}", version=other["version"])).status_code == 204
    assert (await owner.made(back, None))["id"] == ada["id"]
    assert (await owner.get(path)).json() | {"updated_at": 0, "version": 0} == ada | {"updated_at": 0, "version": 0}
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute("update contacts set deleted_at = now() - interval '91 days' where id = %s", (other["id"],))
    pool = Pool(crm_database.worker_url)
    await purge(pool)
    await pool.close()
    assert await binned(owner, "contact") == []
    with psycopg.connect(crm.admin_url) as admin:
        [left] = admin.execute("select to_jsonb(c)::text from contacts as c where id = %s", (other["id"],)).fetchall()
    assert not [word for word in ("Lovelace", "a.example", "P-1", "X-1") if word in left[0]]


async def test_who_lies_in_the_bin_is_erased_all_the_same(crm: Crm, owner: Member) -> None:
    ada = await owner.made("/v1/contacts", _ADA)
    await owner.made("/v1/notes", {"body": "Write to ada@home.example"})
    await owner.delete(f"/v1/contacts/{ada['id']}", version=ada["version"])
    await owner.made(f"/v1/contacts/{ada['id']}/erase", None)
    with psycopg.connect(crm.admin_url) as admin:
        of = (owner.organization_id,)
        rows = admin.execute("select to_jsonb(c)::text from contacts as c where organization_id = %s", of).fetchall()
        rows += admin.execute("select body from activities where organization_id = %s", of).fetchall()
    assert not [row for row in rows if "ovelace" in row[0] or "ada@" in row[0]]
