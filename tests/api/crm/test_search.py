"""`/v1/search`: finds what people mean, and nothing that they may not see."""

import psycopg
import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member
from tests.conftest import Database


async def found(member: Member, q: str, **more: object) -> list[str]:
    answer = await member.get("/v1/search", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("q", "title"),
    [
        ("ada", "Ada Lovelace"),
        ("lovelace ada", "Ada Lovelace"),
        ("Lovelase", "Ada Lovelace"),
        ("ada@acme.example", "Ada Lovelace"),
        ("1234 567", "Ada Lovelace"),
        ("+49 (30) 1234", "Ada Lovelace"),
        ("иванова", "Мария Иванова"),
        ("ивонова мария", "Мария Иванова"),
        ("gmbh acme", "Acme GmbH"),
        ("400 seats", "400 seats for Acme"),
        ("100%", "100% of it"),
        ("muller", "Jörg Müller"),
        ("müllr jorg", "Jörg Müller"),
        ("ada_l", "Ada Lovelace"),
        ("home.example", "Ada Lovelace"),
        ("lo ada", "Ada Lovelace"),
    ],
)
async def test_words_in_any_order_typos_and_digits(owner: Member, q: str, title: str) -> None:
    ada: dict[str, object] = {"name": "Ada Lovelace", "email": "ada@acme.example", "phone": "+49 30 1234-567"}
    more: dict[str, object] = {"emails": [{"value": "ada@acme.example"}, {"value": "a@home.example"}]}
    ada |= more | {"handles": [{"type": "x", "value": "@ada_l"}]}
    for body in (ada, {"name": "Мария Иванова"}, {"name": "Jörg Müller"}, {"name": "Bob Unrelated"}):
        await owner.made("/v1/contacts", body)
    await owner.made("/v1/companies", {"name": "Acme GmbH", "domain": "acme.test"})
    for deal in ("400 seats for Acme", "100% of it", "1000 of them"):
        await owner.deal(title=deal)
    titles = await found(owner, q)
    assert titles[0] == title
    assert "Bob Unrelated" not in titles
    assert await found(owner, q, limit=1) == [title]


async def test_g5_finds_only_what_one_sees(crm: Crm, owner: Member, stranger: Member) -> None:
    rep = crm.member(owner.organization_id, Role.REP)
    await owner.made("/v1/contacts", {"name": "Ada CANARY"})
    await rep.made("/v1/contacts", {"name": "Ben CANARY"})
    assert await found(rep, "canary") == ["Ben CANARY"]
    assert sorted(await found(owner, "canary")) == ["Ada CANARY", "Ben CANARY"]
    assert await found(stranger, "canary") == []


async def test_a_kind_alone_and_nothing_deleted(owner: Member) -> None:
    deal = await owner.deal(title="Zebra")
    await owner.made("/v1/companies", {"name": "Zebra"})
    assert len(await found(owner, "zebra")) == 2
    assert len(await found(owner, "zebra", kind="deal")) == 1
    await owner.delete(f"/v1/deals/{deal['id']}", version=1)
    assert await found(owner, "zebra", kind="deal") == []
    assert (await owner.get("/v1/search", params={"q": " "})).status_code == 422


async def test_what_changes_is_found_as_it_is_now(owner: Member) -> None:
    made = await owner.made("/v1/contacts", {"name": "Ada Before", "emails": [{"value": "old@zebra.example"}]})
    path = f"/v1/contacts/{made['id']}"
    changed = await owner.patch(path, {"name": "Ada After", "emails": [{"value": "new@quail.example"}]}, version=1)
    assert changed.status_code == 200
    for q, titles in (("before", []), ("old@zebra", []), ("after", ["Ada After"]), ("new@quail", ["Ada After"])):
        assert await found(owner, q) == titles, q


async def test_custom_texts_are_found(owner: Member) -> None:
    field = await owner.made("/v1/custom-fields", {"record_kind": "contact", "name": "Badge", "type": "text"})
    await owner.made("/v1/contacts", {"name": "Ada", "custom": {field["id"]: "Xylophone"}})
    assert await found(owner, "xylophone") == ["Ada"]
    assert await found(owner, field["id"][:13]) == []


async def test_t5_the_function_sees_the_organization_of_the_transaction_alone(
    crm_database: Database, owner: Member, stranger: Member
) -> None:
    await owner.made("/v1/contacts", {"name": "Ada CANARY"})
    ask = "select * from find_documents('canary', array['contact', 'company', 'deal'], null, 50)"
    with psycopg.connect(crm_database.app_url) as app:
        for organization_id, count in ((owner.organization_id, 1), (stranger.organization_id, 0), ("", 0)):
            with app.transaction():
                app.execute("select set_config('sluice.organization_id', %s, true)", (str(organization_id),))
                assert len(app.execute(ask).fetchall()) == count
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("set role sluice_search")
    with psycopg.connect(crm_database.worker_url) as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute(ask)
