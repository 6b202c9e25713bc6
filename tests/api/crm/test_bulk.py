"""`/v1/bulk`: one action on all deals of a filter, done by the worker, and taken back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from api.bulk.worker import work_once
from api.kernel.database import Database as Pool
from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem
from tests.conftest import Database

Work = Callable[[], Awaitable[None]]
HOT = {"do": "deal.tag", "with": {"add": ["hot"]}}


@pytest_asyncio.fixture
async def work(crm_database: Database) -> AsyncIterator[Work]:
    """Lets the worker do all there is to do."""
    pool = Pool(crm_database.worker_url)

    async def work() -> None:
        while await work_once(pool):
            pass

    yield work
    await pool.close()


async def started(member: Member, action: dict[str, Any], *conditions: list[Any], **more: Any) -> dict[str, Any]:
    answer = await member.post("/v1/bulk", {"filter": list(conditions), "action": action, **more})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read(member: Member, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await member.get(f"/v1/bulk/{job['id']}")).json()
    return found


class TestWork:
    async def test_changes_the_deals_of_the_filter_by_events_of_who_asked(
        self, crm: Crm, owner: Member, stranger: Member, work: Work
    ) -> None:
        big, small = await owner.deal(amount_minor=500), await owner.deal(amount_minor=5)
        theirs = await stranger.deal(amount_minor=500)
        condition = ["amount_minor", ">=", 100]
        dry = await started(owner, HOT, condition, dry_run=True)
        assert (dry["id"], dry["total"], dry["state"]) == (None, 1, "dry_run")
        job = await started(owner, HOT, condition)
        await work()
        done = await read(owner, job)
        assert (done["state"], done["done"], done["waiting"], done["total"]) == ("done", 1, 0, 1)
        tags = [(await owner.get(f"/v1/deals/{deal['id']}")).json()["tags"] for deal in (big, small)]
        assert tags == [["hot"], []]
        assert (await stranger.get(f"/v1/deals/{theirs['id']}")).json()["tags"] == []
        event = crm.events(big["id"])[-1]
        assert (str(event["correlation_id"]), str(event["causation_id"])) == (job["id"], job["id"])
        assert (event["actor"], event["actor_id"]) == ("user", owner.user_id)

    async def test_undo_restores_what_nobody_changed_since_and_says_what_it_left(
        self, crm: Crm, owner: Member, work: Work
    ) -> None:
        ann = crm.member(owner.organization_id, Role.REP)
        deals = [await owner.deal() for _ in range(3)]
        job = await started(owner, {"do": "deal.assign", "with": {"user_id": str(ann.user_id)}})
        await work()
        assert (await owner.patch(f"/v1/deals/{deals[0]['id']}", {"title": "Mine"}, version=2)).is_success
        assert (await owner.post(f"/v1/bulk/{job['id']}/undo")).json()["state"] == "undoing"
        await work()
        undone = await read(owner, job)
        assert (undone["state"], undone["undone"], undone["left"]) == ("undone", 2, 1)
        [left] = (await owner.get(f"/v1/bulk/{job['id']}/problems")).json()["items"]
        assert (left["deal_id"], left["status"]) == (deals[0]["id"], "left")
        owners = [(await owner.get(f"/v1/deals/{deal['id']}")).json()["owner_id"] for deal in deals]
        assert owners == [str(ann.user_id), str(owner.user_id), str(owner.user_id)]

    @pytest.mark.parametrize(
        "action",
        [
            {"do": "deal.delete"},
            {"do": "deal.set", "with": {"amount_minor": 7, "source": "Fair", "close_in_days": 3}},
            HOT,
        ],
        ids=lambda action: action["do"],
    )
    async def test_every_action_can_be_taken_back(self, owner: Member, work: Work, action: dict[str, Any]) -> None:
        deal = await owner.deal(amount_minor=5, source="Website", tags=["old"], close_date="2026-09-01")
        job = await started(owner, action)
        await work()
        assert (await read(owner, job))["done"] == 1
        await owner.post(f"/v1/bulk/{job['id']}/undo")
        await work()
        now = (await owner.get(f"/v1/deals/{deal['id']}")).json()
        kept = {"updated_at": 0, "version": 0}
        assert {**now, **kept} == {**deal, **kept}

    async def test_what_fails_is_said_of_that_deal_alone(self, owner: Member, work: Work) -> None:
        plain, lined = await owner.deal(), await owner.deal()
        headers = {"If-Match": '"1"'}
        body = {"items": [{"name": "Work", "unit_price_minor": 3}]}
        assert (await owner.http.put(f"/v1/deals/{lined['id']}/line-items", json=body, headers=headers)).is_success
        job = await started(owner, {"do": "deal.set", "with": {"amount_minor": 9}})
        await work()
        done = await read(owner, job)
        assert (done["done"], done["failed"]) == (1, 1)
        [problem] = (await owner.get(f"/v1/bulk/{job['id']}/problems")).json()["items"]
        assert (problem["deal_id"], problem["status"]) == (lined["id"], "failed")
        assert "line items" in problem["problem"]
        assert (await owner.get(f"/v1/deals/{plain['id']}")).json()["amount_minor"] == 9

    async def test_a_stopped_one_changes_no_more(self, owner: Member, work: Work) -> None:
        await owner.deal()
        job = await started(owner, HOT)
        assert_problem(await owner.post(f"/v1/bulk/{job['id']}/undo"), 409, "bulk_at_work")
        assert (await owner.post(f"/v1/bulk/{job['id']}/stop")).json()["state"] == "stopped"
        await work()
        assert (await read(owner, job))["waiting"] == 1
        assert_problem(await owner.post(f"/v1/bulk/{job['id']}/stop"), 409, "bulk_ended")


class TestAsking:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"filter": [["colour", "=", 1]], "action": HOT}, "bad_filter"),
            ({"filter": [], "action": {"do": "deal.explode"}}, "bad_action"),
            ({"filter": [], "action": {"do": "deal.move", "with": {"stage_id": str(uuid4())}}}, "bad_action"),
            ({"filter": [], "action": {"do": "deal.assign", "with": {"user_id": "x"}}}, "bad_action"),
            ({"filter": [], "action": {"do": "deal.delete", "with": {"all": True}}}, "bad_action"),
        ],
    )
    async def test_what_cannot_be_done_is_refused(self, owner: Member, body: dict[str, Any], code: str) -> None:
        assert (await owner.post("/v1/bulk", body)).json()["code"] == code

    async def test_reps_change_and_see_their_own(self, crm: Crm, owner: Member, stranger: Member, work: Work) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        mine, others = await rep.deal(), await owner.deal()
        job = await started(rep, HOT)
        assert job["total"] == 1
        await work()
        assert (await rep.get(f"/v1/deals/{mine['id']}")).json()["tags"] == ["hot"]
        assert (await owner.get(f"/v1/deals/{others['id']}")).json()["tags"] == []
        assert len((await owner.get("/v1/bulk")).json()["items"]) == 1
        other = await started(owner, HOT)
        assert_problem(await rep.get(f"/v1/bulk/{other['id']}"), 404)
        assert_problem(await stranger.get(f"/v1/bulk/{job['id']}"), 404)
        analyst = crm.member(owner.organization_id, Role.ANALYST)
        assert_problem(await analyst.post("/v1/bulk", {"filter": [], "action": HOT}), 403)


class TestOtherRecords:
    @pytest.mark.parametrize(
        ("kind", "action", "then"),
        [
            ("contact", {"do": "contact.tag", "with": {"add": ["hot"], "remove": ["OLD"]}}, {"tags": ["hot"]}),
            (
                "contact",
                {"do": "contact.set", "with": {"source": "Fair", "emails": []}},
                {"source": "Fair", "email": None},
            ),
            ("company", {"do": "company.set", "with": {"country": "FR", "industry": None}}, {"country": "FR"}),
            ("company", {"do": "company.assign", "with": {"user_id": None}}, {"owner_id": None}),
            ("contact", {"do": "contact.delete"}, None),
            ("company", {"do": "company.delete"}, None),
        ],
        ids=lambda one: one["do"] if isinstance(one, dict) and "do" in one else "",
    )
    async def test_every_action_can_be_taken_back(
        self,
        owner: Member,
        stranger: Member,
        work: Work,
        kind: str,
        action: dict[str, Any],
        then: dict[str, Any] | None,
    ) -> None:
        path = {"contact": "/v1/contacts", "company": "/v1/companies"}[kind]
        more = (
            {"email": "ada@a.example", "source": "Site"} if kind == "contact" else {"industry": "IT", "country": "DE"}
        )
        body = {"name": "Ada", "external_id": "X-1", "tags": ["old"], **more}
        one, other = await owner.made(path, body), await owner.made(path, {"name": "Bob"})
        theirs = await stranger.made(path, body)
        job = await started(owner, action, ["name", "=", "Ada"], kind=kind)
        await work()
        assert (await read(owner, job))["done"] == 1
        now = await owner.get(f"{path}/{one['id']}")
        assert now.status_code == 404 if then is None else now.json().items() >= then.items()
        assert (await owner.get(f"{path}/{other['id']}")).json() == other
        assert (await stranger.get(f"{path}/{theirs['id']}")).json() == theirs
        await owner.post(f"/v1/bulk/{job['id']}/undo")
        await work()
        kept = {"updated_at": 0, "version": 0}
        assert {**(await owner.get(f"{path}/{one['id']}")).json(), **kept} == {**one, **kept}

    async def test_what_somebody_changed_since_is_left(self, owner: Member, work: Work) -> None:
        contact = await owner.made("/v1/contacts", {"name": "Ada"})
        job = await started(owner, {"do": "contact.tag", "with": {"add": ["hot"]}}, kind="contact")
        await work()
        path = f"/v1/contacts/{contact['id']}"
        assert (await owner.patch(path, {"name": "Ada L."}, version=2)).is_success
        await owner.post(f"/v1/bulk/{job['id']}/undo")
        await work()
        [left] = (await owner.get(f"/v1/bulk/{job['id']}/problems")).json()["items"]
        assert (left["record_id"], left["deal_id"], left["status"]) == (contact["id"], None, "left")
        assert (await owner.get(path)).json()["tags"] == ["hot"]

    async def test_what_cannot_be_given_back_is_left_alone(self, crm: Crm, owner: Member, work: Work) -> None:
        company = await owner.made("/v1/companies", {"name": "Acme"})
        with psycopg.connect(crm.admin_url) as admin:
            admin.execute("update companies set domain = '' where id = %s", (company["id"],))
        job = await started(owner, {"do": "company.set", "with": {"domain": "acme.example"}}, kind="company")
        await work()
        await owner.post(f"/v1/bulk/{job['id']}/undo")
        await work()
        undone = await read(owner, job)
        assert (undone["state"], undone["left"]) == ("undone", 1)
        assert (await owner.get(f"/v1/companies/{company['id']}")).json()["domain"] == "acme.example"

    async def test_what_another_one_has_is_refused_to_that_record_alone(self, owner: Member, work: Work) -> None:
        for name in ("Ada", "Bob"):
            await owner.made("/v1/contacts", {"name": name})
        job = await started(owner, {"do": "contact.set", "with": {"external_id": "X-1"}}, kind="contact")
        await work()
        done = await read(owner, job)
        assert (done["state"], done["done"], done["failed"]) == ("done", 1, 1)
        [problem] = (await owner.get(f"/v1/bulk/{job['id']}/problems")).json()["items"]
        assert "X-1" in problem["problem"]
        deleted = await started(owner, {"do": "contact.delete"}, kind="contact")
        await work()
        await owner.made("/v1/contacts", {"name": "Cleo", "external_id": "X-1"})
        await owner.post(f"/v1/bulk/{deleted['id']}/undo")
        await work()
        undone = await read(owner, deleted)
        assert (undone["state"], undone["undone"], undone["left"]) == ("undone", 1, 1)
        names = {one["name"] for one in (await owner.get("/v1/contacts")).json()["items"]}
        assert "Cleo" in names
        assert len(names) == 2

    @pytest.mark.parametrize(
        "action",
        [
            {"do": "deal.tag", "with": {"add": ["x"]}},
            {"do": "contact.move"},
            {"do": "contact.set", "with": {}},
            {"do": "contact.set", "with": {"nonsense": 1}},
            {"do": "contact.delete", "with": {"now": True}},
        ],
    )
    async def test_what_cannot_be_done_is_said(self, owner: Member, action: dict[str, Any]) -> None:
        answer = await owner.post("/v1/bulk", {"kind": "contact", "filter": [], "action": action})
        assert_problem(answer, 422, "bad_action")
