"""A-19: security events are all there, nobody can change one unseen, and text cannot forge lines."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from api.audit.records import verify
from contracts.access import Role
from tests.conftest import Database
from tests.factories import PASSWORD, Account, Api


async def _entries(account: Account, **only: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await account.read("/v1/audit", params={"limit": 200, **only}))["items"]
    return found


async def test_a19_security_events_say_who_when_where_and_what(api: Api, owner: Account) -> None:
    rep = await owner.add_user(role=Role.REP)
    await owner.patch(f"/v1/users/{rep.user_id}", json={"role": "manager"})
    await api.http.post("/v1/auth/login", json={"email": rep.email, "password": "a wrong phrase"})
    key = await owner.made("/v1/api-keys", json={"name": "k", "scopes": ["deals:read"]})
    await owner.call("DELETE", f"/v1/api-keys/{key['id']}")
    await rep.post("/v1/me/password", json={"current_password": PASSWORD, "new_password": "quite another phrase"})
    entries = await _entries(owner)
    actions = {entry["action"] for entry in entries}
    assert actions >= {
        "organization.created", "user.created", "user.updated", "sign_in.created", "sign_in.failed",
        "api_key.created", "api_key.updated", "user.password_changed",
    }  # fmt: skip
    [changed] = [entry for entry in entries if entry["action"] == "user.updated"]
    assert (changed["before"], changed["after"]) == (
        {"role": "rep", "record_scope": "own"},
        {"role": "manager", "record_scope": "subtree"},
    )
    assert (changed["actor"], changed["actor_id"], changed["address"]) == ("user", str(owner.user_id), "127.0.0.1")
    failed = await _entries(owner, action="sign_in.failed")
    assert [entry["resource_id"] for entry in failed] == [str(rep.user_id)]
    assert PASSWORD not in str(entries)
    assert [entry["position"] for entry in entries] == list(range(len(entries), 0, -1))


async def test_a19_it_is_the_administrators_to_read_and_each_organization_sees_its_own(
    owner: Account, stranger: Account
) -> None:
    rep = await owner.add_user()
    assert (await rep.get("/v1/audit")).status_code == 403
    assert str(owner.user_id) not in str(await _entries(stranger))


@pytest.mark.parametrize(
    "statement", ["update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"]
)
def test_a19_the_app_cannot_change_it(api_database: Database, statement: str) -> None:
    with psycopg.connect(api_database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement.encode())


@pytest.mark.parametrize(
    "tampering",
    [
        "update audit_log set after = '{}' where organization_id = %s and position = 2",
        "update audit_log set actor_id = null where organization_id = %s and position = 2",
        "delete from audit_log where organization_id = %s and position = 2",
    ],
)
async def test_a19_what_somebody_with_more_rights_changes_breaks_the_chain(
    api: Api, owner: Account, api_database: Database, tampering: str
) -> None:
    async def broken() -> dict[str, int | None]:
        chains = await verify(api.app.state.services.database, correlation_id=uuid4())
        return {str(chain.organization_id): chain.broken_at for chain in chains}

    mine = str(owner.organization_id)
    assert (await broken())[mine] is None
    with psycopg.connect(api_database.admin_url) as admin:
        admin.execute(tampering.encode(), [owner.organization_id])
    found = await broken()
    assert found[mine] == 2
    assert {organization for organization, at in found.items() if at is not None} >= {mine}


async def test_a19_line_breaks_in_names_forge_no_line(owner: Account) -> None:
    await owner.add_user(name="Kim\r\nuser.deleted by nobody")
    [entry] = [one for one in await _entries(owner, action="user.created") if "Kim" in str(one["after"])][:1]
    assert entry["after"]["name"] == "Kim\r\nuser.deleted by nobody"
