"""G5: no organization sees, changes or infers another's data."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from api.db.statements import compiled
from api.kernel.listing import Listing
from api.kernel.states import columns_of
from api.models.team import Team
from api.models.user import User
from api.teams import records, rules
from contracts.access import Role
from tests.conftest import Database
from tests.factories import Account, Api, start_api

_WHO, _USERS = compiled(text("select current_user")), compiled(select(User.id))

#: A body that each path takes, ids aside: a foreign id must be the only thing wrong with a request.
BODIES: dict[str, Any] = {
    "update_organization": {"name": "Mine now"},
    "update_user": {"name": "Mine now"},
    "update_team": {"name": "Mine now"},
}


async def foreign_ids(account: Account) -> dict[str, str]:
    """An id of each kind, all of one organization."""
    team = await account.made("/v1/teams", json={"name": "CANARY team"})
    rep = await account.add_user(role=Role.REP, name="CANARY rep")
    await account.made(f"/v1/teams/{team['id']}/members", json={"user_id": str(rep.user_id)})
    company = await account.made("/v1/companies", json={"name": "CANARY company"})
    contact = await account.made("/v1/contacts", json={"name": "CANARY contact"})
    [pipeline] = (await account.read("/v1/pipelines"))["items"]
    deal = await account.made("/v1/deals", json={"title": "CANARY deal", "pipeline_id": pipeline["id"]})
    task = await account.made("/v1/tasks", json={"title": "CANARY task"})
    note = await account.made("/v1/notes", json={"body": "CANARY note"})
    call = await account.made("/v1/activities", json={"kind": "call", "subject": "CANARY call"})
    about = {"deal_id": deal["id"]}
    file = await account.made("/v1/files", files={"file": ("CANARY.txt", b"CANARY content")}, data=about)
    field = await account.made(
        "/v1/custom-fields", json={"record_kind": "deal", "name": "CANARY field", "type": "number"}
    )
    view = await account.made("/v1/views", json={"name": "CANARY view", "record_kind": "deal"})
    webhook = await account.made("/v1/webhooks", json={"url": "https://example.com/CANARY"})
    delivery = await account.made(f"/v1/webhooks/{webhook['id']}/test")
    return {
        "organization_id": str(account.organization_id),
        "user_id": str(rep.user_id),
        "team_id": team["id"],
        "company_id": company["id"],
        "contact_id": contact["id"],
        "pipeline_id": pipeline["id"],
        "stage_id": pipeline["stages"][0]["id"],
        "deal_id": deal["id"],
        "custom_field_id": field["id"],
        "view_id": view["id"],
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "task_id": task["id"],
        "note_id": note["id"],
        "activity_id": call["id"],
        "file_id": file["id"],
    }


async def test_t2_another_tenants_id_in_a_path_is_404(api: Api, owner: Account, stranger: Account) -> None:
    ids = await foreign_ids(stranger)
    document = (await api.http.get("/openapi.json")).json()
    tried = 0
    for path, operations in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        if not names or not set(names) <= set(ids):
            continue
        for method, operation in operations.items():
            if method in {"post", "put"} and operation["operationId"] not in BODIES and "requestBody" in operation:
                continue  # its body's schema would answer first; slices test those
            answer = await owner.call(
                method.upper(),
                path.format(**ids),
                json=BODIES.get(operation["operationId"], {}),
                headers={"If-Match": '"1"'},
            )
            assert answer.status_code == 404, (method, path, answer.text)
            assert "CANARY" not in answer.text
            tried += 1
    assert tried >= 15


async def test_t2_another_tenants_id_in_a_body_is_like_an_unknown_one(owner: Account, stranger: Account) -> None:
    ids = await foreign_ids(stranger)
    unknown = "00000000-0000-7000-8000-000000000000"
    team = await owner.made("/v1/teams", json={"name": "Ours"})
    for foreign, path, field in (
        (ids["team_id"], "/v1/teams", "parent_team_id"),
        (ids["user_id"], "/v1/teams", "manager_id"),
        (ids["user_id"], f"/v1/teams/{team['id']}/members", "user_id"),
    ):
        rest = {} if field == "user_id" else {"name": "New"}
        answers = [await owner.post(path, json=rest | {field: value}) for value in (foreign, unknown)]
        problems = [{**answer.json(), "correlation_id": None} for answer in answers]
        assert problems[0] == problems[1]
        assert answers[0].status_code == 422


async def test_t3_nothing_of_a_tenant_shows_in_anothers_lists(api: Api, owner: Account, stranger: Account) -> None:
    await foreign_ids(stranger)
    document = (await api.http.get("/openapi.json")).json()
    lists = [path for path, found in document["paths"].items() if "{" not in path and "get" in found]
    assert len(lists) >= 8
    for path in lists:
        answer = await owner.get(path)
        assert "CANARY" not in answer.text, path
        assert str(stranger.organization_id) not in answer.text, path


async def test_t4_pooled_connections_carry_nothing_over(database: Database) -> None:
    api = await start_api(database, pool_size=2)
    accounts = [await api.sign_up(), await api.sign_up()]

    async def one(number: int) -> None:
        account = accounts[number % 2]
        kind = number % 5
        if kind == 0:
            task = asyncio.create_task(account.get("/v1/users"))
            await asyncio.sleep(0.001 * (number % 7))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif kind == 1:
            assert (await account.post("/v1/teams", json={"parent_team_id": 1})).status_code == 422
        else:
            users = (await account.read("/v1/users"))["items"]
            assert [UUID(user["id"]) for user in users] == [account.user_id]

    for start in range(0, 200, 20):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))
    async with api.app.state.services.database.unit(None) as unit:
        [row], users = await unit.fetch_all(_WHO.bind(), _USERS.bind())
        assert (row.current_user, users) == ("sluice_app", [])
    await api.close()


async def test_t5_a_forgotten_filter_shows_only_ones_own_rows(
    owner: Account, stranger: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in (owner, stranger):
        await account.made("/v1/teams", json={"name": f"Team of {account.organization_id}"})
    forgetful = Listing(select(*columns_of(rules.Team, Team)), filters={}, order=(Team.id,))
    monkeypatch.setattr(records, "TEAMS", forgetful)
    [team] = (await owner.read("/v1/teams"))["items"]
    assert team["name"] == f"Team of {owner.organization_id}"


async def test_t6_an_address_or_key_of_another_tenant_is_as_good_as_new(owner: Account, stranger: Account) -> None:
    rep = await stranger.add_user(role=Role.REP)
    body = {"email": rep.email, "name": "Kim", "password": "quite another phrase", "role": "rep"}
    key = {"Idempotency-Key": "shared by chance"}
    first = await stranger.post("/v1/teams", json={"name": "Theirs"}, headers=key)
    second = await owner.post("/v1/teams", json={"name": "Ours"}, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["name"] == "Ours"
    assert (await owner.post("/v1/users", json=body)).status_code == 201
    assert (await rep.get("/v1/me")).status_code == 200
