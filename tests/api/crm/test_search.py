"""`/v1/search`: finds what people mean, and nothing that they may not see."""

import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member


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
    ],
)
async def test_words_in_any_order_typos_and_digits(owner: Member, q: str, title: str) -> None:
    ada = {"name": "Ada Lovelace", "email": "ada@acme.example", "phone": "+49 30 1234-567"}
    for body in (ada, {"name": "Мария Иванова"}, {"name": "Bob Unrelated"}):
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
