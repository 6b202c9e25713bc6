"""Contacts and companies that there are already: refused with their names, made again, or given what they lack."""

from contracts.access import Role
from tests.api.crm.conftest import Crm, assert_problem


async def test_a_contact_that_there_is_can_be_refused_made_again_or_filled(crm: Crm) -> None:
    owner = await crm.organization()
    company = await owner.made("/v1/companies", {"name": "Acme", "domain": "www.acme.example"})
    known = await owner.made(
        "/v1/contacts", {"name": "Ada", "email": "ada@acme.example", "company_id": company["id"], "tags": ["old"]}
    )
    same = {"name": "A. Lovelace", "email": "ADA@acme.example", "phone": "+49 30 1234567", "tags": ["new"]}
    refused = await owner.post("/v1/contacts?on_duplicate=refuse", body=same)
    assert_problem(refused, 409, "duplicate_found")
    assert refused.json()["candidates"] == [{"id": known["id"], "name": "Ada", "reason": "same_email"}]
    named = {"name": "ada", "company_id": company["id"]}
    refused = await owner.post("/v1/contacts?on_duplicate=refuse", body=named)
    assert refused.json()["candidates"][0]["reason"] == "same_name_and_company"
    merged = await owner.post(
        "/v1/contacts?on_duplicate=merge",
        body={
            **same,
            "emails": [{"value": "ada@home.example", "type": "personal"}, {"value": "ada@acme.example"}],
            "email": "ada@acme.example",
        },
    )
    assert merged.status_code == 200, merged.text
    found = merged.json()
    assert (found["id"], found["name"], found["email"], found["phone"]) == (
        known["id"], "Ada", "ada@acme.example", "+49301234567",
    )  # fmt: skip
    assert [one["value"] for one in found["emails"]] == ["ada@acme.example", "ada@home.example"]
    assert found["tags"] == ["new", "old"]
    again = await owner.post("/v1/contacts?on_duplicate=merge", body=same)
    assert (again.status_code, again.json()["version"]) == (200, found["version"]), "nothing was lacking"
    other = await owner.post("/v1/contacts", body=same)
    assert other.status_code == 201, other.text
    several = await owner.post("/v1/contacts?on_duplicate=merge", body=same)
    assert_problem(several, 409, "duplicate_found")
    assert {one["id"] for one in several.json()["candidates"]} == {known["id"], other.json()["id"]}
    fresh = await owner.post("/v1/contacts?on_duplicate=refuse", body={"name": "Ada"})
    assert fresh.status_code == 201, "a name alone is nobody"


async def test_companies_and_only_what_the_caller_sees(crm: Crm) -> None:
    owner = await crm.organization()
    rep = crm.member(owner.organization_id, Role.REP)
    known = await owner.made("/v1/companies", {"name": "Acme", "domain": "www.acme.example"})
    for body in ({"name": "Other", "domain": "ACME.example"}, {"name": "acme"}):
        refused = await owner.post("/v1/companies?on_duplicate=refuse", body=body)
        assert_problem(refused, 409, "duplicate_found")
        assert [one["id"] for one in refused.json()["candidates"]] == [known["id"]]
    made = await rep.post("/v1/companies?on_duplicate=refuse", body={"name": "Acme"})
    assert made.status_code == 201, "whose records one does not see, one does not learn of"
    filled = await owner.post(
        "/v1/companies?on_duplicate=merge", body={"name": "X", "domain": "acme.example", "country": "DE"}
    )
    assert (filled.status_code, filled.json()["country"], filled.json()["name"]) == (200, "DE", "Acme")
