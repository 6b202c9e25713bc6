"""A-9: keys of programs."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from contracts.access import Role
from runtime.embedded.postgres import EmbeddedPostgres
from tests.conftest import Database
from tests.factories import Account, Api


async def _make(account: Account, **fields: Any) -> dict[str, Any]:
    return await account.made("/v1/api-keys", json={"name": "Export", "scopes": ["deals:read", "me:read"], **fields})


async def _call(api: Api, key: str, path: str = "/v1/deals", method: str = "GET", **options: Any) -> tuple[int, Any]:
    answer = await api.http.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options)
    return answer.status_code, answer.json() if answer.content else None


async def test_a9_a_key_acts_for_its_maker(api: Api, owner: Account) -> None:
    made = await _make(owner)
    assert made["key"].startswith("slk_")
    assert made["key"].endswith(made["hint"])
    status, me = await _call(api, made["key"], "/v1/me")
    assert (status, me["id"]) == (200, str(owner.user_id))
    [listed] = (await owner.read("/v1/api-keys"))["items"]
    assert "key" not in listed
    assert listed["last_used_at"] is not None


async def test_a9_what_a_key_writes_says_that_a_key_did_it(api: Api, owner: Account, api_database: Database) -> None:
    made = await _make(owner, scopes=["companies:write"])
    status, company = await _call(api, made["key"], "/v1/companies", "POST", json={"name": "By a program"})
    assert status == 201, company
    with psycopg.connect(api_database.admin_url) as admin:
        row = admin.execute(
            "select actor, actor_id::text from event_log where aggregate_id = %s", [company["id"]]
        ).fetchone()
    assert row == ("api_key", made["id"])


async def test_a9_neither_a_dump_nor_a_kept_answer_holds_a_key(
    owner: Account, api_database: Database, postgres: EmbeddedPostgres
) -> None:
    made = await owner.made(
        "/v1/api-keys",
        json={"name": "k", "scopes": ["deals:read"]},
        headers={"Idempotency-Key": "a key's key"},
    )
    argv = [str(postgres.programs / "pg_dump"), f"--dbname={api_database.admin_url}", "--data-only", "--inserts"]
    dump = (await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)).stdout
    key = made["key"].encode()
    assert key not in dump
    assert key.hex().encode() not in dump


async def test_a9_a_revoked_expired_or_altered_key_is_refused_at_once(
    api: Api, owner: Account, api_database: Database
) -> None:
    revoked = await _make(owner)
    assert (await owner.call("DELETE", f"/v1/api-keys/{revoked['id']}")).status_code == 204
    assert (await _call(api, revoked["key"]))[0] == 401
    expired = await _make(owner, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert (await _call(api, expired["key"]))[0] == 200
    with psycopg.connect(api_database.admin_url) as admin:
        admin.execute("update api_keys set expires_at = now() where id = %s", [expired["id"]])
    assert (await _call(api, expired["key"]))[0] == 401
    good = (await _make(owner))["key"]
    swapped = "A" if good[-2] != "A" else "B"
    for bad in (good[:-2] + swapped + good[-1], good[:-4], "slk_", "slk_" + "A" * 96, f"{good}AAAA"):
        assert (await _call(api, bad))[0] == 401, bad


async def test_a9_a_key_ends_with_its_makers_membership_but_a_services_goes_on(api: Api, owner: Account) -> None:
    admin = await owner.add_user(role=Role.ADMIN)
    own, service = await _make(admin), await _make(admin, role="rep")
    assert (await owner.patch(f"/v1/users/{admin.user_id}", json={"is_active": False})).status_code == 200
    assert (await _call(api, own["key"]))[0] == 401
    assert (await _call(api, service["key"]))[0] == 200


@pytest.mark.parametrize(
    ("role", "fields", "code"),
    [
        (Role.REP, {"scopes": ["users:write"]}, "key_beyond_its_maker"),
        (Role.REP, {"role": "rep"}, "key_beyond_its_maker"),
        (Role.ADMIN, {"role": "owner"}, "key_beyond_its_maker"),
        (Role.ADMIN, {"role": "rep", "scopes": ["users:write"]}, "key_beyond_its_maker"),
        (Role.ADMIN, {"scopes": ["everything"]}, "unknown_scope"),
        (Role.ADMIN, {"expires_at": "2020-01-01T00:00:00Z"}, "unprocessable"),
    ],
)
async def test_a9_no_key_can_do_more_than_its_maker(
    owner: Account, role: Role, fields: dict[str, Any], code: str
) -> None:
    maker = await owner.add_user(role=role)
    answer = await maker.post("/v1/api-keys", json={"name": "k", "scopes": ["deals:read"], **fields})
    assert answer.json()["code"] == code, answer.text


async def test_a9_a_record_shows_a_key_only_what_it_may_read_elsewhere(api: Api, owner: Account) -> None:
    contact = await owner.made("/v1/contacts", json={"name": "Ada"})
    about = {"contact_id": contact["id"]}
    await owner.made("/v1/notes", json={"body": "Between us", **about})
    await owner.made("/v1/tasks", json={"title": "Call", **about})
    path = f"/v1/contacts/{contact['id']}/timeline"
    for scopes, kinds in (
        ([], {"change"}),
        (["tasks:read"], {"change", "task"}),
        (["activities:read", "tasks:read"], {"change", "note", "task"}),
    ):
        made = await owner.made("/v1/api-keys", json={"name": "Reads", "scopes": ["contacts:read", *scopes]})
        status, page = await _call(api, made["key"], path)
        assert (status, {item["kind"] for item in page["items"]}) == (200, kinds)
        status, page = await _call(api, made["key"], f"{path}?kind=note&kind=change")
        assert (status, page.get("code")) == ((200, None) if "note" in kinds else (403, "scope_missing"))


async def test_a9_a_key_loses_what_its_maker_loses(api: Api, owner: Account) -> None:
    maker = await owner.add_user(role=Role.REP)
    key = (await _make(maker, scopes=["companies:write"]))["key"]
    await owner.patch(f"/v1/users/{maker.user_id}", json={"role": "analyst"})
    status, problem = await _call(api, key, "/v1/companies", "POST", json={"name": "x"})
    assert (status, problem["code"]) == (403, "forbidden")


async def test_a9_keys_of_others_are_the_administrators_to_see_and_revoke(owner: Account, stranger: Account) -> None:
    rep, other = await owner.add_user(), await owner.add_user()
    made = await _make(rep)
    assert (await other.read("/v1/api-keys"))["items"] == []
    for account in (other, stranger):
        assert (await account.call("DELETE", f"/v1/api-keys/{made['id']}")).status_code == 404
    assert [key["id"] for key in (await owner.read("/v1/api-keys"))["items"]] == [made["id"]]
    assert (await owner.call("DELETE", f"/v1/api-keys/{made['id']}")).status_code == 204
