"""Companies and contacts alike: one table of cases for what they share, then what is their own."""

from dataclasses import dataclass
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from contracts.access import Role
from tests.api.crm.conftest import Crm, Member, assert_problem


@dataclass(frozen=True)
class Kind:
    """A path, a full body for it, and a change to two of its fields."""

    path: str
    full: dict[str, Any]
    change: dict[str, Any]


COMPANY = Kind(
    "/v1/companies",
    {
        "name": "Acme",
        "domain": "acme.example",
        "industry": "Software",
        "employee_count": 400,
        "country": "DE",
        "external_id": "A-1",
    },
    {"employee_count": 420, "industry": "Retail"},
)
CONTACT = Kind(
    "/v1/contacts",
    {
        "name": "Ada Lovelace",
        "email": "ada@acme.example",
        "phone": "+49301234567",
        "source": "Website",
        "external_id": "C-1",
    },
    {"phone": "+49301234568", "source": "Referral"},
)
KINDS = pytest.mark.parametrize("kind", [COMPANY, CONTACT], ids=["companies", "contacts"])


@KINDS
class TestCreate:
    async def test_answers_what_was_sent_with_id_version_and_etag(self, owner: Member, kind: Kind) -> None:
        answer = await owner.post(kind.path, kind.full)
        made = answer.json()
        assert answer.status_code == 201
        assert {name: made[name] for name in kind.full} == kind.full
        assert (made["version"], answer.headers["etag"]) == (1, '"1"')
        assert made["owner_id"] == str(owner.user_id)
        assert (await owner.get(answer.headers["location"])).json() == made

    async def test_event_carries_no_personal_data(self, crm: Crm, owner: Member, kind: Kind) -> None:
        made = await owner.made(kind.path, kind.full)
        [event] = crm.events(made["id"])
        assert event["type"] in ("company.created", "contact.created")
        assert not {kind.full["name"], kind.full.get("email"), kind.full.get("phone")} & set(
            map(str, event["data"].values())
        )

    async def test_external_id_is_taken_once_per_organization(
        self, owner: Member, stranger: Member, kind: Kind
    ) -> None:
        await owner.made(kind.path, kind.full)
        assert_problem(await owner.post(kind.path, kind.full), 409, "external_id_taken")
        await stranger.made(kind.path, kind.full)

    async def test_idempotency_key_makes_one(self, owner: Member, kind: Kind) -> None:
        first = await owner.post(kind.path, kind.full, **{"Idempotency-Key": "k"})
        second = await owner.post(kind.path, kind.full, **{"Idempotency-Key": "k"})
        assert first.json() == second.json()
        assert len((await owner.get(kind.path)).json()["items"]) == 1

    async def test_owner_must_be_an_active_user_here(
        self, crm: Crm, owner: Member, stranger: Member, kind: Kind
    ) -> None:
        gone = crm.member(owner.organization_id, Role.REP, is_active=False)
        for owner_id in (stranger.user_id, gone.user_id, uuid7()):
            answer = await owner.post(kind.path, kind.full | {"owner_id": str(owner_id)})
            assert assert_problem(answer, 422, "unknown_reference")["errors"][0]["pointer"] == "/owner_id"

    async def test_analyst_may_not(self, crm: Crm, owner: Member, kind: Kind) -> None:
        analyst = crm.member(owner.organization_id, Role.ANALYST)
        assert_problem(await analyst.post(kind.path, kind.full), 403, "forbidden")


@KINDS
class TestUpdate:
    async def test_changes_only_what_was_sent(self, crm: Crm, owner: Member, kind: Kind) -> None:
        made = await owner.made(kind.path, kind.full)
        answer = await owner.patch(f"{kind.path}/{made['id']}", kind.change, version=1)
        assert answer.status_code == 200
        follows = ("updated_at", "phones")  # its clock, and the list that the primary number leads
        assert {k: v for k, v in answer.json().items() if k not in follows} == {
            k: v for k, v in (made | kind.change | {"version": 2}).items() if k not in follows
        }
        changed = crm.events(made["id"])[-1]["data"]["changed_fields"]
        assert len(changed) == 2

    async def test_same_values_write_nothing(self, crm: Crm, owner: Member, kind: Kind) -> None:
        made = await owner.made(kind.path, kind.full)
        assert (await owner.patch(f"{kind.path}/{made['id']}", kind.full, version=1)).json()["version"] == 1
        assert len(crm.events(made["id"])) == 1

    async def test_needs_the_present_version(self, owner: Member, kind: Kind) -> None:
        made = await owner.made(kind.path, kind.full)
        one = f"{kind.path}/{made['id']}"
        assert_problem(await owner.http.patch(one, json=kind.change), 428, "precondition_required")
        assert (await owner.patch(one, kind.change, version=1)).status_code == 200
        assert_problem(await owner.patch(one, kind.full, version=1), 412, "precondition_failed")

    async def test_another_organizations_is_not_found(self, owner: Member, stranger: Member, kind: Kind) -> None:
        made = await owner.made(kind.path, kind.full)
        foreign = await stranger.patch(f"{kind.path}/{made['id']}", kind.change, version=1)
        missing = await stranger.patch(f"{kind.path}/{uuid7()}", kind.change, version=1)
        unlike = {"instance", "correlation_id"}
        assert {k: v for k, v in assert_problem(foreign, 404).items() if k not in unlike} == {
            k: v for k, v in assert_problem(missing, 404).items() if k not in unlike
        }


@KINDS
class TestList:
    async def test_pages_newest_first_and_complete(self, owner: Member, kind: Kind) -> None:
        made = [(await owner.made(kind.path, {"name": f"N{number}"}))["id"] for number in range(5)]
        seen: list[str] = []
        cursor = None
        while True:
            page = (await owner.get(kind.path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == made[::-1]

    async def test_filters_by_text_and_owner(self, crm: Crm, owner: Member, kind: Kind) -> None:
        rep = crm.member(owner.organization_id, Role.REP)
        mine = await owner.made(kind.path, {"name": "100% Acme"})
        other = await rep.made(kind.path, {"name": "Beta"})
        for params, expected in (
            ({"q": "acme"}, [mine["id"]]),
            ({"q": "%"}, [mine["id"]]),
            ({"owner_id": str(rep.user_id)}, [other["id"]]),
            ({}, [other["id"], mine["id"]]),
        ):
            page = (await owner.get(kind.path, params=params)).json()
            assert [item["id"] for item in page["items"]] == expected

    async def test_record_scope_decides_what_is_seen(self, crm: Crm, owner: Member, kind: Kind) -> None:
        organization_id = owner.organization_id
        rep, colleague = (crm.member(organization_id, Role.REP) for _ in range(2))
        manager = crm.member(organization_id, Role.MANAGER)
        crm.put_in_team(organization_id, manager=manager, members=[rep])
        mine = await rep.made(kind.path, {"name": "Mine"})
        theirs = await colleague.made(kind.path, {"name": "Theirs"})
        for who, visible in ((rep, [mine]), (manager, [mine]), (owner, [theirs, mine])):
            page = (await who.get(kind.path)).json()
            assert [item["id"] for item in page["items"]] == [one["id"] for one in visible]
        assert_problem(await rep.get(f"{kind.path}/{theirs['id']}"), 404)
        assert_problem(await rep.patch(f"{kind.path}/{theirs['id']}", kind.change, version=1), 404)


class TestContactOnly:
    async def test_company_of_another_organization_looks_like_none(self, owner: Member, stranger: Member) -> None:
        foreign = await stranger.made("/v1/companies", {"name": "Theirs"})
        for company_id in (foreign["id"], str(uuid7())):
            answer = await owner.post("/v1/contacts", {"name": "Ada", "company_id": company_id})
            problem = assert_problem(answer, 422, "unknown_reference")
            assert problem["detail"] == "There is no such company."

    async def test_lists_by_company(self, owner: Member) -> None:
        company = await owner.made("/v1/companies", {"name": "Acme"})
        ada = await owner.made("/v1/contacts", {"name": "Ada", "company_id": company["id"]})
        await owner.made("/v1/contacts", {"name": "Bob"})
        page = (await owner.get("/v1/contacts", params={"company_id": company["id"]})).json()
        assert [item["id"] for item in page["items"]] == [ada["id"]]


class TestBadInput:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/companies", {}),
            ("/v1/companies", {"name": "  "}),
            ("/v1/companies", {"name": "a\x00b"}),
            ("/v1/companies", {"name": "x" * 201}),
            ("/v1/companies", {"name": "A", "country": "Germany"}),
            ("/v1/companies", {"name": "A", "country": "UK"}),
            ("/v1/companies", {"name": "A", "country": "XX"}),
            ("/v1/companies", {"name": "A", "employee_count": -1}),
            ("/v1/companies", {"name": "A", "employee_count": 10**12}),
            ("/v1/companies", {"name": "A", "organization_id": str(uuid7())}),
            ("/v1/contacts", {"name": "A", "email": "not an address"}),
            ("/v1/contacts", {"name": "A", "company_id": "7"}),
            ("/v1/contacts", [1, 2]),
        ],
    )
    async def test_is_a_problem_that_names_the_field(self, owner: Member, path: str, body: object) -> None:
        problem = assert_problem(await owner.post(path, body), 422, "validation_failed")
        assert problem["errors"]

    async def test_null_for_a_name_is_refused(self, owner: Member) -> None:
        made = await owner.made("/v1/companies", {"name": "A"})
        assert_problem(await owner.patch(f"/v1/companies/{made['id']}", {"name": None}, version=1), 422)
