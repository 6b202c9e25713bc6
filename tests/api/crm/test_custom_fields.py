"""Custom fields: what they take, what keeps them apart, and what of them leaves PostgreSQL."""

import asyncio
import csv
import io
from typing import Any

import pytest

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem

PATHS = {"contact": "/v1/contacts", "company": "/v1/companies", "deal": "/v1/deals"}
KINDS = pytest.mark.parametrize("kind", list(PATHS))


async def field(owner: Member, kind: str, type_: str = "text", **more: Any) -> dict[str, Any]:
    body = {"record_kind": kind, "name": f"A {type_}", "type": type_, **more}
    return await owner.made("/v1/custom-fields", body)


async def body_of(owner: Member, kind: str, **custom: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"custom": custom}
    if kind == "deal":
        return body | {"title": "400 seats", "pipeline_id": (await owner.pipeline())["id"]}
    return body | {"name": "Acme"}


@KINDS
class TestValues:
    async def test_are_kept_shown_and_listed(self, owner: Member, kind: str) -> None:
        seats = await field(owner, kind, "number")
        made = await owner.made(PATHS[kind], await body_of(owner, kind, **{seats["id"]: 400}))
        path = f"{PATHS[kind]}/{made['id']}"
        assert made["custom"] == {seats["id"]: 400}
        changed = (await owner.patch(path, {"custom": {seats["id"]: 500}}, version=made["version"])).json()
        assert changed["custom"] == {seats["id"]: 500}
        assert (await owner.get(path)).json() == changed
        [listed] = (await owner.get(PATHS[kind])).json()["items"]
        assert listed["custom"] == {seats["id"]: 500}
        emptied = (await owner.patch(path, {"custom": {seats["id"]: None}}, version=changed["version"])).json()
        assert emptied["custom"] == {}

    async def test_only_what_is_not_personal_is_in_events(self, crm: Crm, owner: Member, kind: str) -> None:
        seats, secret = await field(owner, kind, "number"), await field(owner, kind, "text")
        made = await owner.made(PATHS[kind], await body_of(owner, kind, **{seats["id"]: 4.5, secret["id"]: "CANARY"}))
        created, custom = crm.events(made["id"])
        assert (made["version"], created["aggregate_version"], custom["aggregate_version"]) == (2, 1, 2)
        assert custom["type"] == f"{kind}.custom.changed"
        assert custom["data"]["custom"] == {seats["id"]: "4.5"}
        assert custom["data"]["changed_fields"] == sorted([seats["id"], secret["id"]])
        assert "CANARY" not in str(crm.events(made["id"]))

    async def test_required_ones_are_asked_for_and_not_emptied(self, owner: Member, kind: str) -> None:
        made = await owner.made(PATHS[kind], await body_of(owner, kind))
        needed = await field(owner, kind, is_required=True)
        answer = await owner.post(PATHS[kind], await body_of(owner, kind))
        assert assert_problem(answer, 422, "bad_custom_value")["errors"][0]["pointer"] == f"/custom/{needed['id']}"
        path = f"{PATHS[kind]}/{made['id']}"
        assert (await owner.patch(path, {"custom": {}}, version=1)).status_code == 200  # what was there stays as it was
        assert_problem(await owner.patch(path, {"custom": {needed["id"]: " "}}, version=1), 422, "bad_custom_value")

    async def test_unique_ones_are_one_records_even_among_twenty_at_once(self, owner: Member, kind: str) -> None:
        code = await field(owner, kind, is_unique=True)
        body = await body_of(owner, kind, **{code["id"]: "A-1"})
        answers = await asyncio.gather(*(owner.post(PATHS[kind], body) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        made = next(answer.json() for answer in answers if answer.status_code == 201)
        lower = await body_of(owner, kind, **{code["id"]: "a-1"})
        assert_problem(await owner.post(PATHS[kind], lower), 409, "custom_value_taken")
        path = f"{PATHS[kind]}/{made['id']}"
        moved = await owner.patch(path, {"custom": {code["id"]: "A-2"}}, version=made["version"])
        assert moved.status_code == 200
        await owner.made(PATHS[kind], body)


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("text", " Hi ", 5),
        ("number", -2.5, "5"),
        ("number", 0, True),
        ("money", {"amount_minor": 100, "currency": "EUR"}, {"amount_minor": 1.5, "currency": "EUR"}),
        ("money", {"amount_minor": -1, "currency": "JPY"}, {"amount_minor": 1, "currency": "euro"}),
        ("date", "2026-02-28", "2026-02-30"),
        ("link", "https://acme.example/x", "javascript:alert(1)"),
        ("person", None, "00000000-0000-7000-8000-000000000000"),
    ],
)
async def test_a_type_takes_what_it_is(owner: Member, type_: str, good: Any, bad: Any) -> None:
    made = await field(owner, "contact", type_)
    good = str(owner.user_id) if type_ == "person" else good
    contact = await owner.made("/v1/contacts", await body_of(owner, "contact", **{made["id"]: good}))
    assert contact["custom"] == {made["id"]: good.strip() if isinstance(good, str) else good}
    answer = await owner.post("/v1/contacts", await body_of(owner, "contact", **{made["id"]: bad}))
    assert made["name"] in assert_problem(answer, 422, "bad_custom_value")["detail"]


async def test_choices_are_chosen_by_id_and_a_dropped_one_no_more(crm: Crm, owner: Member) -> None:
    made = await field(owner, "deal", "choices", choices=[{"label": "Red"}, {"label": "Blue"}])
    red, blue = (choice["id"] for choice in made["choices"])
    deal = await owner.deal(custom={made["id"]: [blue, red, red]})
    assert deal["custom"] == {made["id"]: sorted([red, blue])}
    assert crm.events(deal["id"])[-1]["data"]["custom"] == {made["id"]: ",".join(sorted([red, blue]))}
    changes = {"choices": [{"id": red, "label": "Crimson"}, {"label": "Green"}]}
    changed = (await owner.patch(f"/v1/custom-fields/{made['id']}", changes, version=1)).json()
    assert [choice["label"] for choice in changed["choices"]] == ["Crimson", "Green"]
    assert changed["choices"][0]["id"] == red
    answer = await owner.post("/v1/deals", await body_of(owner, "deal", **{made["id"]: [blue]}))
    assert_problem(answer, 422, "bad_custom_value")


async def test_fields_are_an_administrators_and_names_differ(crm: Crm, owner: Member, stranger: Member) -> None:
    rep = crm.member(owner.organization_id, Role.REP)
    body = {"record_kind": "deal", "name": "Seats", "type": "number"}
    assert_problem(await rep.post("/v1/custom-fields", body), 403)
    made = await owner.made("/v1/custom-fields", body)
    assert_problem(await owner.post("/v1/custom-fields", body | {"name": "seats"}), 409, "custom_field_name_taken")
    assert_problem(await owner.post("/v1/custom-fields", body | {"name": "X", "choices": [{"label": "1"}]}), 422)
    assert_problem(await owner.post("/v1/custom-fields", body | {"name": "Y", "type": "date", "is_unique": True}), 422)
    foreign = await stranger.deal()
    answer = await stranger.patch(f"/v1/deals/{foreign['id']}", {"custom": {made["id"]: 1}}, version=1)
    assert_problem(answer, 422, "bad_custom_value")
    retired = await owner.patch(f"/v1/custom-fields/{made['id']}", {"is_retired": True}, version=1)
    assert retired.json()["is_retired"]
    assert_problem(await owner.post("/v1/deals", await body_of(owner, "deal", **{made["id"]: 1})), 422)
    await owner.made("/v1/custom-fields", body)


@KINDS
class TestComputed:
    async def test_is_told_wherever_the_record_is_and_filled_by_nobody(self, owner: Member, kind: str) -> None:
        weight = await field(owner, kind, "number", name="Weight")
        double = await field(owner, kind, "computed", expression=f'{kind}.custom["Weight"] * 2.0')
        label = await field(
            owner, kind, "computed", name="Label", expression=f'{kind}.custom["Weight"] > 5.0 ? "A" : "B"'
        )
        made = await owner.made(PATHS[kind], await body_of(owner, kind, **{weight["id"]: 4.5}))
        told = {weight["id"]: 4.5, double["id"]: 9.0, label["id"]: "B"}
        path = f"{PATHS[kind]}/{made['id']}"
        [listed] = (await owner.get(PATHS[kind])).json()["items"]
        assert made["custom"] == (await owner.get(path)).json()["custom"] == listed["custom"] == told
        changed = (await owner.patch(path, {"custom": {weight["id"]: 6}}, version=made["version"])).json()
        assert changed["custom"] == {weight["id"]: 6, double["id"]: 12.0, label["id"]: "A"}
        for value in (1, None):
            answer = await owner.patch(path, {"custom": {double["id"]: value}}, version=changed["version"])
            assert_problem(answer, 422, "bad_custom_value")
        emptied = (await owner.patch(path, {"custom": {weight["id"]: None}}, version=changed["version"])).json()
        assert emptied["custom"] == {}, "what lacks something is not told"
        plural = PATHS[kind].rpartition("/")[2]
        [row] = csv.DictReader(io.StringIO((await owner.get(f"/v1/exports/{plural}")).content.decode("utf-8-sig")))
        assert (row["custom:Weight"], row["custom:A computed"]) == ("", "")

    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("{}.nonsense", "nonsense"),
            ('{}.custom["Unknown"]', "Unknown"),
            ("1.0 + ", ""),
            ("1.0 + 1.0", "same for all"),
            ("{}.custom", "must be a number"),
            ("other.name", "may name"),
            ('{}.custom["Weight"] * 2', "same type"),
            ('{0}.custom["All"].map(x, {0}.custom["All"].map(y, y))', "one list"),
            ('{0}.custom["All"] . existsOne(x, {0}.custom["All"].existsOne (y, y == x))', "one list"),
        ],
    )
    async def test_an_expression_that_cannot_be_is_refused(
        self, owner: Member, kind: str, expression: str, words: str
    ) -> None:
        await field(owner, kind, "number", name="Weight")
        body = {"record_kind": kind, "name": "Bad", "type": "computed", "expression": expression.format(kind)}
        assert words in assert_problem(await owner.post("/v1/custom-fields", body), 422, "bad_expression")["detail"]

    async def test_what_it_is_computed_of_keeps_its_name(self, owner: Member, kind: str) -> None:
        weight = await field(owner, kind, "number", name="Weight")
        double = await field(owner, kind, "computed", expression=f'{kind}.custom["Weight"] * 2.0')
        path = f"/v1/custom-fields/{weight['id']}"
        for change in ({"name": "Mass"}, {"is_retired": True}):
            assert_problem(await owner.patch(path, change, version=1), 409, "custom_field_in_use")
        other = {"expression": f"{kind}.custom['Weight'] * 3.0"}
        assert (await owner.patch(f"/v1/custom-fields/{double['id']}", other, version=1)).status_code == 200
        retired = await owner.patch(f"/v1/custom-fields/{double['id']}", {"is_retired": True}, version=2)
        assert retired.status_code == 200
        assert (await owner.patch(path, {"name": "Mass"}, version=1)).status_code == 200


async def test_what_is_computed_knows_money_choices_and_the_time(owner: Member) -> None:
    await field(owner, "deal", "choice", name="Tier", choices=[{"label": "Gold"}])
    [tier] = (await owner.get("/v1/custom-fields", params={"record_kind": "deal"})).json()["items"]
    expressions = {
        "Commission": 'deal.custom["Tier"] == "Gold" ? deal.amount * 0.2 : 0.0',
        "Age in days": "now - deal.created_at",
        "Is large": "deal.amount > 1000.0",
    }
    fields = {
        name: (await field(owner, "deal", "computed", name=name, expression=text))["id"]
        for name, text in expressions.items()
    }
    body = await body_of(owner, "deal", **{tier["id"]: tier["choices"][0]["id"]})
    made = await owner.made("/v1/deals", {**body, "amount_minor": 123_450, "currency": "EUR"})
    told = made["custom"]
    assert (told[fields["Commission"]], told[fields["Is large"]]) == (246.9, True)
    assert 0 <= told[fields["Age in days"]] < 1
    won = (await owner.post(f"/v1/deals/{made['id']}/win", {})).json()
    assert won["custom"][fields["Commission"]] == 246.9


async def test_only_what_is_computed_has_an_expression(owner: Member) -> None:
    body = {"record_kind": "deal", "name": "X", "type": "number", "expression": "deal.amount"}
    assert_problem(await owner.post("/v1/custom-fields", body), 422, "computed_mismatch")
    computed = {"record_kind": "deal", "name": "X", "type": "computed"}
    assert_problem(await owner.post("/v1/custom-fields", computed), 422, "computed_mismatch")
    needed = {**computed, "expression": "deal.amount", "is_required": True}
    assert_problem(await owner.post("/v1/custom-fields", needed), 422, "computed_mismatch")
    unique = {**computed, "expression": "deal.amount", "is_unique": True}
    assert_problem(await owner.post("/v1/custom-fields", unique), 422, "cannot_be_unique")
