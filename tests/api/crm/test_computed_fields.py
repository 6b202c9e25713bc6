"""Computed fields in lists, views, exports and events: kept by every write, computed anew where one changes."""

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest_asyncio

from api.custom_fields.worker import work_once
from api.kernel.database import Database as Pool
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.api.crm.test_custom_fields import KINDS, PATHS, body_of, field
from tests.conftest import Database

Work = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture
async def work(crm_database: Database) -> AsyncIterator[Work]:
    """Lets the worker do all there is to do."""
    pool = Pool(crm_database.worker_url)

    async def work() -> None:
        for _ in range(1_000):  # it says how long it may rest; other tests' transactions end soon
            if await work_once(pool) > 1:
                return

    yield work
    await pool.close()


async def listed(member: Member, kind: str, *conditions: list[Any], sort: str | None = None) -> list[dict[str, Any]]:
    asked = {"filter": json.dumps(list(conditions)), **({"sort": sort} if sort else {})}
    answer = await member.get(PATHS[kind], params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def told(crm: Crm, record_id: str) -> list[dict[str, Any]]:
    """What events said of a record's computed values, in order."""
    return [event["data"]["custom"] for event in crm.events(str(uuid5(UUID(record_id), "computed_values")))]


@KINDS
class TestKept:
    async def test_lists_are_narrowed_and_sorted_as_soon_as_a_record_is_written(self, owner: Member, kind: str) -> None:
        weight = await field(owner, kind, "number", name="Weight")
        double = await field(owner, kind, "computed", expression=f'{kind}.custom["Weight"] * 2.0')
        label = await field(
            owner, kind, "computed", name="Label", expression=f'{kind}.custom["Weight"] > 5.0 ? "A" : "B"'
        )
        flag = await field(owner, kind, "computed", name="Heavy", expression=f'{kind}.custom["Weight"] > 5.0')
        since = await field(owner, kind, "computed", name="Since", expression=f"{kind}.created_at")
        kinds = [one["value_kind"] for one in (double, label, flag, since)]
        assert kinds == ["number", "text", "flag", "instant"]
        light, heavy, empty = [
            await owner.made(PATHS[kind], await body_of(owner, kind, **values))
            for values in ({weight["id"]: 4.5}, {weight["id"]: 6}, {})
        ]

        async def ids(*conditions: list[Any], sort: str | None = None) -> list[str]:
            return [one["id"] for one in await listed(owner, kind, *conditions, sort=sort)]

        by_double, by_label, by_flag = (f"custom.{one['id']}" for one in (double, label, flag))
        assert await ids([by_double, ">", 9]) == [heavy["id"]]
        assert await ids([by_double, "=", 9]) == [light["id"]]
        assert await ids([by_label, "=", "a"]) == [heavy["id"]]
        assert await ids([by_flag, "=", True]) == [heavy["id"]]
        assert await ids([by_flag, "!=", True]) == [empty["id"], light["id"]]
        assert await ids([by_double, "empty", True]) == [empty["id"]]
        assert await ids([f"custom.{since['id']}", "<", "2000-01-01T00:00:00Z"]) == []
        assert await ids(sort=by_double) == [empty["id"], light["id"], heavy["id"]]
        assert await ids(sort=f"-{by_double}") == [heavy["id"], light["id"], empty["id"]]
        for bad in ([by_double, "=", "9"], [by_flag, "=", "true"], [by_flag, ">", True]):
            assert_problem(await owner.get(PATHS[kind], params={"filter": json.dumps([bad])}), 422, "bad_filter")
        changed = await owner.patch(
            f"{PATHS[kind]}/{light['id']}", {"custom": {weight["id"]: 50}}, version=light["version"]
        )
        assert (changed.status_code, changed.json()["version"]) == (200, light["version"] + 1)
        assert await ids([by_double, ">", 99]) == [light["id"]], "kept by the write itself"

    async def test_events_tell_what_is_not_personal_and_no_text_but_the_expressions_own(
        self, crm: Crm, owner: Member, kind: str
    ) -> None:
        weight = await field(owner, kind, "number", name="Weight")
        note = await field(owner, kind, "text", name="Note")
        name = "title" if kind == "deal" else "name"
        double = await field(owner, kind, "computed", name="Double", expression=f'{kind}.custom["Weight"] * 2.0')
        tier = await field(
            owner, kind, "computed", name="Tier", expression=f'{kind}.custom["Weight"] > 5.0 ? "A" : "B"'
        )
        personal = [
            await field(owner, kind, "computed", name="Named", expression=f"{kind}.{name}"),
            await field(owner, kind, "computed", name="Noted", expression=f'{kind}.custom["Note"] == "CANARY"'),
            await field(owner, kind, "computed", name="Sized", expression=f'{kind}["{name}"].size() > 3'),
        ]
        assert (double["is_personal"], tier["is_personal"]) == (False, False)
        assert all(one["is_personal"] for one in personal)
        made = await owner.made(PATHS[kind], await body_of(owner, kind, **{weight["id"]: 4.5, note["id"]: "CANARY"}))
        assert told(crm, made["id"]) == [{double["id"]: "9.0", tier["id"]: "B"}]
        [found] = await listed(owner, kind, [f"custom.{personal[1]['id']}", "=", True])
        assert found["id"] == made["id"], "it is in lists all the same"
        path = f"{PATHS[kind]}/{made['id']}"
        changed = (await owner.patch(path, {name: "Other"}, version=made["version"])).json()
        assert len(told(crm, made["id"])) == 1, "nothing that events tell of has changed"
        emptied = (await owner.patch(path, {"custom": {weight["id"]: None}}, version=changed["version"])).json()
        assert told(crm, made["id"])[1:] == [{}]
        assert (await owner.delete(path, version=emptied["version"])).status_code in (200, 204)
        open_ = {"record_kind": kind, "name": "Open", "type": "computed", "is_personal": False}
        refused = await owner.post("/v1/custom-fields", open_ | {"expression": f"{kind}.{name}"})
        assert_problem(refused, 422, "computed_mismatch")

    async def test_what_speaks_of_now_is_told_but_kept_nowhere(self, crm: Crm, owner: Member, kind: str) -> None:
        age = await field(owner, kind, "computed", name="Age", expression=f"now - {kind}.created_at")
        assert age["value_kind"] is None
        made = await owner.made(PATHS[kind], await body_of(owner, kind))
        assert made["custom"][age["id"]] >= 0
        assert told(crm, made["id"]) == []
        for asked in ({"filter": f'[["custom.{age["id"]}", ">", 1]]'}, {"sort": f"custom.{age['id']}"}):
            assert "now" in assert_problem(await owner.get(PATHS[kind], params=asked), 422, "bad_filter")["detail"]


class TestChangedDefinition:
    async def test_all_records_are_computed_anew_in_the_background(
        self, crm: Crm, owner: Member, stranger: Member, work: Work
    ) -> None:
        weight = await field(owner, "deal", "number", name="Weight")
        before = await owner.deal(custom={weight["id"]: 4})
        double = await field(owner, "deal", "computed", expression='deal.custom["Weight"] * 2.0')
        assert double["computing"] == {"done": 0, "total": None}
        path, by_double = f"/v1/custom-fields/{double['id']}", f"custom.{double['id']}"
        assert await listed(owner, "deal", [by_double, "=", 8]) == [], "nobody has computed it yet"
        await work()
        assert (await owner.get(path)).json()["computing"] is None
        assert [one["id"] for one in await listed(owner, "deal", [by_double, "=", 8])] == [before["id"]]
        changed = await owner.patch(path, {"expression": 'deal.custom["Weight"] > 3.0 ? "A" : "B"'}, version=1)
        assert (changed.json()["value_kind"], changed.json()["computing"]["done"]) == ("text", 0)
        assert await listed(owner, "deal", [by_double, "=", "A"], sort=by_double) == []
        await work()
        assert len(await listed(owner, "deal", [by_double, "=", "A"])) == 1
        assert (await owner.patch(path, {"is_retired": True}, version=2)).status_code == 200
        await work()
        assert told(crm, before["id"]) == [{double["id"]: "8.0"}, {double["id"]: "A"}, {}]
        assert (await owner.get(f"/v1/deals/{before['id']}")).json()["version"] == before["version"]
        del stranger

    async def test_waits_for_whoever_writes_without_knowing_of_it(
        self, crm: Crm, crm_database: Database, owner: Member, work: Work
    ) -> None:
        deal = await owner.deal(amount_minor=500)
        pool = Pool(crm_database.worker_url)
        with psycopg.connect(crm.admin_url) as slow:  # as one that looked before the field was there
            slow.execute("update deals set amount_minor = 900 where id = %s", [deal["id"]])
            double = await field(owner, "deal", "computed", expression="deal.amount * 2.0")
            assert 0 < await work_once(pool) < 1, "it is to be done, not yet"
        await pool.close()
        await work()
        assert [one["id"] for one in await listed(owner, "deal", [f"custom.{double['id']}", "=", 18])] == [deal["id"]]

    async def test_a_choice_called_otherwise_and_an_input_that_turns_personal_count(
        self, crm: Crm, owner: Member, work: Work
    ) -> None:
        size = await field(owner, "deal", "choice", name="Size", choices=[{"label": "Large"}])
        large = size["choices"][0]["id"]
        is_large = await field(owner, "deal", "computed", expression='deal.custom["Size"] == "Large"')
        deal = await owner.deal(custom={size["id"]: large})
        await work()
        path = f"/v1/custom-fields/{size['id']}"
        await owner.patch(path, {"choices": [{"id": large, "label": "Big"}]}, version=1)
        await work()
        await owner.patch(path, {"is_personal": True}, version=2)
        await work()
        assert told(crm, deal["id"]) == [{is_large["id"]: "true"}, {is_large["id"]: "false"}, {}]

    async def test_thousands_of_records_show_how_far_it_is(
        self, crm: Crm, crm_database: Database, owner: Member
    ) -> None:
        deal = await owner.deal(amount_minor=500)
        with psycopg.connect(crm.admin_url, autocommit=True) as admin:
            admin.execute(
                "insert into deals select (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(),"
                " 'external_id', null))).* from deals d, generate_series(1, 1200) where id = %s",
                [deal["id"]],
            )
        double = await field(owner, "deal", "computed", expression="deal.amount * 2.0")
        pool = Pool(crm_database.worker_url)
        for _ in range(1_000):
            if await work_once(pool) == 0:
                break
        path = f"/v1/custom-fields/{double['id']}"
        assert (await owner.get(path)).json()["computing"] == {"done": 1000, "total": 1201}
        await work_once(pool)
        await pool.close()
        assert (await owner.get(path)).json()["computing"] is None
        [row] = crm_rows(crm, "select count(*) from deals where (computed ->> %s)::numeric = 10", double["id"])
        assert row == (1201,)


def crm_rows(crm: Crm, query: str, *values: object) -> list[Any]:
    with psycopg.connect(crm.admin_url) as admin:
        return admin.execute(query, values).fetchall()


async def test_a_move_a_bulk_of_moves_and_a_restore_keep_it_up(crm: Crm, owner: Member) -> None:
    won = await field(owner, "deal", "computed", name="Won", expression='deal.status == "won"')
    deal = await owner.deal()
    by_won = f"custom.{won['id']}"
    assert (await owner.post(f"/v1/deals/{deal['id']}/win", {})).status_code == 200
    assert [one["id"] for one in await listed(owner, "deal", [by_won, "=", True])] == [deal["id"]]
    version = (await owner.get(f"/v1/deals/{deal['id']}")).json()["version"]
    assert (await owner.delete(f"/v1/deals/{deal['id']}", version=version)).status_code == 204
    assert (await owner.post(f"/v1/recycle-bin/deal/{deal['id']}/restore")).status_code == 200
    assert told(crm, deal["id"]) == [{won["id"]: "false"}, {won["id"]: "true"}, {}, {won["id"]: "true"}]


async def test_views_and_exports_have_it(owner: Member) -> None:
    double = await field(owner, "deal", "computed", name="Twice", expression="deal.amount * 2.0")
    await owner.deal(amount_minor=500)
    view = await owner.made(
        "/v1/views",
        {
            "name": "Large",
            "record_kind": "deal",
            "filter": [[f"custom.{double['id']}", ">", 9]],
            "sort": f"-custom.{double['id']}",
            "columns": [f"custom.{double['id']}"],
        },
    )
    assert len(await listed(owner, "deal", *view["filter"], sort=view["sort"])) == 1
    [row] = csv.DictReader(io.StringIO((await owner.get("/v1/exports/deals")).content.decode("utf-8-sig")))
    assert row["custom:Twice"] == "10.0"


async def test_nobody_elses_records_are_computed(crm: Crm, owner: Member, stranger: Member, work: Work) -> None:
    theirs = await stranger.deal(amount_minor=500)
    await field(owner, "deal", "computed", expression="deal.amount * 2.0")
    await work()
    assert told(crm, theirs["id"]) == []
    [row] = crm_rows(crm, "select computed from deals where id = %s", theirs["id"])
    assert row == (None,)
    rep = crm.member(owner.organization_id, Role.REP)
    body = {"record_kind": "deal", "name": "Mine", "type": "computed", "expression": "deal.amount"}
    assert_problem(await rep.post("/v1/custom-fields", body), 403)


async def test_an_expression_is_not_longer_than_it_may_be(owner: Member) -> None:
    body = {"record_kind": "deal", "name": "Long", "type": "computed"}
    longest = "deal.amount".ljust(495) + "+ 1.0"
    assert (await owner.post("/v1/custom-fields", body | {"expression": longest})).status_code == 201
    too_long = await owner.post("/v1/custom-fields", body | {"name": "Longer", "expression": longest + "0"})
    assert assert_problem(too_long, 422)["errors"][0]["pointer"] == "/expression"


async def test_events_tell_no_label_that_people_wrote(crm: Crm, owner: Member) -> None:
    size = await field(owner, "deal", "choice", name="Size", choices=[{"label": "CANARY"}])
    label = await field(owner, "deal", "computed", expression='deal.custom["Size"]')
    assert label["is_personal"] is False
    deal = await owner.deal(custom={size["id"]: size["choices"][0]["id"]})
    assert (deal["custom"][label["id"]], told(crm, deal["id"])) == ("CANARY", [])
