"""Deals over HTTP: create, read, list, change, delete. Changes of stage are in `test_deals_move`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from contracts.access import Role
from contracts.events.envelope import Envelope
from contracts.events.registry import parse
from tests.api.crm.conftest import Crm, Member, assert_problem, stage_ids

NOW = datetime.now(UTC)


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


class TestCreateDeal:
    async def test_begins_in_the_first_open_stage_and_belongs_to_the_caller(self, crm: Crm) -> None:
        owner = await crm.organization(currency="CHF")
        pipeline = await owner.pipeline()
        answer = await owner.post("/v1/deals", {"pipeline_id": pipeline["id"], "title": "400 seats"})
        deal = answer.json()
        assert answer.status_code == 201
        assert answer.headers["etag"] == '"1"'
        assert deal["stage_id"] == pipeline["stages"][0]["id"]
        assert (deal["status"], deal["currency"], deal["owner_id"]) == ("open", "CHF", str(owner.user_id))
        assert deal["created_at"] == deal["stage_entered_at"]
        assert (await owner.get(answer.headers["location"])).json() == deal

    async def test_with_everything_said(self, crm: Crm, owner: Member) -> None:
        pipeline = await owner.pipeline()
        company = await owner.made("/v1/companies", {"name": "Acme"})
        contact = await owner.made("/v1/contacts", {"name": "Ada", "company_id": company["id"]})
        said = {
            "stage_id": stage_ids(pipeline, "open")[2],
            "amount_minor": 1_250_000,
            "currency": "USD",
            "company_id": company["id"],
            "contact_id": contact["id"],
            "source": "Website",
            "close_date": "2027-02-28",
            "external_id": "D-1",
        }
        deal = await owner.deal(**said)
        assert {name: deal[name] for name in said} == said
        [event] = crm.events(deal["id"])
        assert event["type"] == "deal.created"
        assert "400 seats" not in str(event["data"])

    async def test_backdated_began_then(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(occurred_at="2026-01-02T03:04:05+01:00")
        assert deal["created_at"] == deal["stage_entered_at"] == "2026-01-02T02:04:05Z"
        [event] = crm.events(deal["id"])
        assert event["occurred_at"] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
        assert event["recorded_at"] >= NOW

    async def test_nobody_may_own_it(self, owner: Member) -> None:
        assert (await owner.deal(owner_id=None))["owner_id"] is None

    @pytest.mark.parametrize("field", ["pipeline_id", "stage_id", "company_id", "contact_id", "owner_id"])
    async def test_another_organizations_id_looks_like_none(self, owner: Member, stranger: Member, field: str) -> None:
        foreign = {
            "pipeline_id": (await stranger.pipeline())["id"],
            "stage_id": (await stranger.pipeline())["stages"][0]["id"],
            "company_id": (await stranger.made("/v1/companies", {"name": "A"}))["id"],
            "contact_id": (await stranger.made("/v1/contacts", {"name": "A"}))["id"],
            "owner_id": str(stranger.user_id),
        }
        body = {"pipeline_id": (await owner.pipeline())["id"], "title": "x"}
        told = []
        for value in (foreign[field], str(uuid7())):
            problem = assert_problem(await owner.post("/v1/deals", body | {field: value}), 422, "unknown_reference")
            assert problem["errors"][0]["pointer"] == f"/{field}"
            told.append(problem["detail"])
        assert told[0] == told[1]
        assert (await owner.get("/v1/deals")).json()["items"] == []

    async def test_not_in_a_closed_stage_nor_in_the_future(self, owner: Member) -> None:
        pipeline = await owner.pipeline()
        body = {"pipeline_id": pipeline["id"], "title": "x"}
        won = body | {"stage_id": stage_ids(pipeline, "won")[0]}
        assert_problem(await owner.post("/v1/deals", won), 422, "stage_not_open")
        future = body | {"occurred_at": ago(minutes=-5)}
        assert_problem(await owner.post("/v1/deals", future), 422, "occurred_in_future")

    async def test_external_id_is_taken_once_and_free_after_deletion(self, owner: Member) -> None:
        deal = await owner.deal(external_id="D-1")
        body = {"pipeline_id": deal["pipeline_id"], "title": "x", "external_id": "D-1"}
        assert_problem(await owner.post("/v1/deals", body), 409, "external_id_taken")
        assert (await owner.delete(f"/v1/deals/{deal['id']}", version=1)).status_code == 204
        await owner.made("/v1/deals", body)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"title": ""},
            {"title": "a\x00b"},
            {"amount_minor": 12.5},
            {"amount_minor": "100"},
            {"amount_minor": 10**16},
            {"currency": "eur"},
            {"close_date": "31.12.2026"},
            {"occurred_at": "2026-05-01T09:30:00"},
            {"occurred_at": 1_700_000_000},
            {"occurred_at": "9999-12-31T23:59:59-14:00"},
            {"stage_id": "' or 1=1"},
            {"status": "won"},
            {"organization_id": str(uuid7())},
        ],
    )
    async def test_bad_input_is_a_problem_that_names_the_field(self, owner: Member, wrong: dict[str, Any]) -> None:
        body = {"pipeline_id": str(uuid7()), "title": "x"} | wrong
        problem = assert_problem(await owner.post("/v1/deals", body), 422, "validation_failed")
        assert [error["pointer"] for error in problem["errors"]] == [f"/{name}" for name in wrong]

    async def test_without_a_sign_in_nobody(self, owner: Member) -> None:
        answer = await owner.http.post("/v1/deals", json={}, headers={"Authorization": ""})
        assert_problem(answer, 401, "unauthenticated")


class TestListDeals:
    async def test_filters(self, crm: Crm, owner: Member) -> None:
        pipeline = await owner.pipeline()
        company = await owner.made("/v1/companies", {"name": "Acme"})
        rep = crm.member(owner.organization_id, Role.REP)
        second = stage_ids(pipeline, "open")[1]
        one = await owner.deal(title="Alpha_1", company_id=company["id"])
        two = await owner.deal(title="Beta", stage_id=second)
        three = await rep.deal(title="Gamma")
        await owner.made(f"/v1/deals/{three['id']}/win", {})
        for params, expected in (
            ({}, [three, two, one]),
            ({"pipeline_id": pipeline["id"]}, [three, two, one]),
            ({"pipeline_id": str(uuid7())}, []),
            ({"stage_id": second}, [two]),
            ({"status": "won"}, [three]),
            ({"owner_id": str(rep.user_id)}, [three]),
            ({"company_id": company["id"]}, [one]),
            ({"q": "PHA_"}, [one]),
        ):
            page = (await owner.get("/v1/deals", params=params)).json()
            assert [deal["id"] for deal in page["items"]] == [deal["id"] for deal in expected], params

    async def test_every_deal_that_stays_is_seen_once_while_others_come(self, owner: Member) -> None:
        made = {(await owner.deal())["id"] for _ in range(7)}
        seen: list[str] = []
        params: dict[str, Any] = {"limit": 3}
        while True:
            page = (await owner.get("/v1/deals", params=params)).json()
            seen += [deal["id"] for deal in page["items"]]
            await owner.deal()
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert len(seen) == len(set(seen))
        assert made <= set(seen)

    async def test_a_rep_sees_their_own_only(self, crm: Crm, owner: Member) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        theirs, mine = await owner.deal(), await rep.deal()
        assert [deal["id"] for deal in (await rep.get("/v1/deals")).json()["items"]] == [mine["id"]]
        path = f"/v1/deals/{theirs['id']}"
        for answer in (
            await rep.get(path),
            await rep.get(f"{path}/history"),
            await rep.patch(path, {"title": "x"}, version=1),
            await rep.delete(path, version=1),
            await rep.post(f"{path}/win"),
        ):
            assert_problem(answer, 404, "not_found")


class TestUpdateDeal:
    async def test_each_kind_of_fact_is_an_event_and_a_version(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(amount_minor=100)
        changes = {
            "title": "500 seats",
            "amount_minor": 200,
            "owner_id": None,
            "close_date": "2027-01-01",
            "source": "Fair",
        }
        answer = await owner.patch(f"/v1/deals/{deal['id']}", changes, version=1)
        after = answer.json()
        assert {name: after[name] for name in changes} == changes
        assert (after["version"], answer.headers["etag"]) == (5, '"5"')
        events = crm.events(deal["id"])[1:]
        assert [event["aggregate_version"] for event in events] == [2, 3, 4, 5]
        assert {event["type"] for event in events} == {
            "deal.updated",
            "deal.amount.changed",
            "deal.owner.changed",
            "deal.close_date.changed",
        }
        assert events[0]["data"]["changed_fields"] == ["source_id", "title"]
        assert len({event["correlation_id"] for event in events}) == 1

    async def test_same_values_write_nothing(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(amount_minor=100, source="Web")
        body = {"amount_minor": 100, "title": deal["title"], "source": "WEB", "company_id": None}
        assert (await owner.patch(f"/v1/deals/{deal['id']}", body, version=1)).json()["version"] == 1
        assert len(crm.events(deal["id"])) == 1

    async def test_fifty_with_one_version_change_it_once(self, owner: Member) -> None:
        deal = await owner.deal()
        path = f"/v1/deals/{deal['id']}"
        answers = await asyncio.gather(*(owner.patch(path, {"amount_minor": n}, version=1) for n in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 49

    @pytest.mark.parametrize("field", ["company_id", "contact_id", "owner_id"])
    async def test_unknown_reference_changes_nothing(self, owner: Member, field: str) -> None:
        deal = await owner.deal()
        path = f"/v1/deals/{deal['id']}"
        assert_problem(
            await owner.patch(path, {field: str(uuid7()), "title": "x"}, version=1), 422, "unknown_reference"
        )
        assert (await owner.get(path)).json() == deal

    async def test_null_for_what_it_must_have_is_refused(self, owner: Member) -> None:
        deal = await owner.deal()
        for name in ("title", "currency"):
            assert_problem(await owner.patch(f"/v1/deals/{deal['id']}", {name: None}, version=1), 422)

    async def test_backdated_behind_a_newer_fact_of_its_kind_leaves_the_present(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(amount_minor=100, occurred_at=ago(days=30))
        path = f"/v1/deals/{deal['id']}"
        await owner.patch(path, {"amount_minor": 300, "occurred_at": ago(days=10)}, version=1)
        after = (await owner.patch(path, {"amount_minor": 200, "occurred_at": ago(days=20)}, version=2)).json()
        assert (after["amount_minor"], after["version"]) == (300, 3)
        assert crm.events(deal["id"])[-1]["data"]["amount_minor"] == 200

    async def test_backdated_behind_other_facts_only_is_the_present(self, owner: Member) -> None:
        deal = await owner.deal(amount_minor=100, occurred_at=ago(days=30))
        path = f"/v1/deals/{deal['id']}"
        await owner.made(f"{path}/move", {"stage_id": stage_ids(await owner.pipeline(), "open")[1]})
        after = (await owner.patch(path, {"amount_minor": 200, "occurred_at": ago(days=20)}, version=2)).json()
        assert after["amount_minor"] == 200

    async def test_backdated_event_says_what_was_true_then(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(amount_minor=100, currency="EUR", occurred_at=ago(days=30))
        path = f"/v1/deals/{deal['id']}"
        await owner.patch(path, {"currency": "USD", "occurred_at": ago(days=10)}, version=1)
        await owner.patch(path, {"amount_minor": 150, "occurred_at": ago(days=20)}, version=2)
        assert crm.events(deal["id"])[-1]["data"] == {"amount_minor": 150, "currency": "EUR"}
        after = (await owner.get(path)).json()
        assert (after["amount_minor"], after["currency"]) == (100, "USD")

    async def test_before_the_deal_began_or_in_the_future(self, owner: Member) -> None:
        deal = await owner.deal(occurred_at=ago(days=1))
        path = f"/v1/deals/{deal['id']}"
        early = await owner.patch(path, {"amount_minor": 1, "occurred_at": ago(days=2)}, version=1)
        assert_problem(early, 422, "occurred_before_creation")
        late = await owner.patch(path, {"amount_minor": 1, "occurred_at": ago(minutes=-5)}, version=1)
        assert_problem(late, 422, "occurred_in_future")


class TestDeleteDeal:
    async def test_gone_from_everywhere_but_the_log(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal()
        path = f"/v1/deals/{deal['id']}"
        assert_problem(await owner.http.delete(path), 428, "precondition_required")
        assert_problem(await owner.delete(path, version=9), 412, "precondition_failed")
        assert (await owner.delete(path, version=1)).status_code == 204
        assert (await owner.get("/v1/deals")).json()["items"] == []
        for answer in (await owner.get(path), await owner.get(f"{path}/history"), await owner.delete(path, version=2)):
            assert_problem(answer, 404)
        assert [event["type"] for event in crm.events(deal["id"])] == ["deal.created", "deal.deleted"]


class TestEvents:
    async def test_every_event_is_one_that_consumers_can_read(self, crm: Crm, owner: Member) -> None:
        deal = await owner.deal(source="Web")
        path = f"/v1/deals/{deal['id']}"
        await owner.patch(path, {"title": "t", "amount_minor": 5, "owner_id": None, "close_date": None}, version=1)
        await owner.made(f"{path}/lose", {"reason": "Price"})
        await owner.made(f"{path}/reopen", {})
        await owner.made(f"{path}/win", {})
        events = crm.events(deal["id"])
        names = [name for name in Envelope.model_fields if name != "id"]
        read = [parse({"id": event["event_id"], **{name: event[name] for name in names}}) for event in events]
        assert [one.aggregate_version for one in read] == list(range(1, len(read) + 1))
        assert {one.actor_id for one in read} == {owner.user_id}
