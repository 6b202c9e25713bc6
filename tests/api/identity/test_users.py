"""Users: who may make whom what."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from contracts.access import Role
from tests.conftest import Database
from tests.factories import Account, Api, new_email, start_api


def body(**fields: Any) -> dict[str, Any]:
    return {"email": new_email("new"), "name": "New User", "password": "a long enough phrase", **fields}


class TestCreateUser:
    @pytest.mark.parametrize(
        ("role", "scope"),
        [("admin", "all"), ("manager", "subtree"), ("rep", "own"), ("analyst", "all"), ("owner", "all")],
    )
    async def test_takes_the_scope_of_the_role(self, owner: Account, role: str, scope: str) -> None:
        user = await owner.made("/v1/users", json=body(role=role))
        assert (user["role"], user["record_scope"], user["version"]) == (role, scope, 1)
        assert await owner.read(f"/v1/users/{user['id']}") == user

    async def test_an_address_is_once_in_an_organization(self, owner: Account) -> None:
        made = await owner.made("/v1/users", json=body())
        answer = await owner.post("/v1/users", json=body(email=made["email"].upper()))
        assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")

    async def test_a_person_with_the_same_password_keeps_one_sign_in(
        self, api: Api, owner: Account, stranger: Account
    ) -> None:
        user = await stranger.made("/v1/users", json=body(email=owner.email, password=owner.password))
        both = await api.sign_in(owner.email, organization_id=str(stranger.organization_id))
        assert str(both.user_id) == user["id"]

    async def test_whoever_registers_an_address_first_gets_nothing(
        self, api: Api, owner: Account, stranger: Account
    ) -> None:
        victim = body()
        await stranger.made("/v1/users", json=victim | {"password": "the attackers phrase"})
        user = await owner.made("/v1/users", json=victim)
        attacker = await api.sign_in(victim["email"], "the attackers phrase")
        assert attacker.organization_id == stranger.organization_id
        choice = {"email": victim["email"], "organization_id": str(owner.organization_id)}
        refused = await api.http.post("/v1/auth/login", json=choice | {"password": "the attackers phrase"})
        assert refused.status_code == 401
        assert str((await api.sign_in(**choice, password=victim["password"])).user_id) == user["id"]

    async def test_without_a_password_nobody_signs_in_until_one_is_set(self, api: Api, owner: Account) -> None:
        user = await owner.made("/v1/users", json=body(password=None))
        login = {"email": user["email"], "password": "now there is one"}
        assert (await api.http.post("/v1/auth/login", json=login)).status_code == 401
        changed = await owner.patch(f"/v1/users/{user['id']}", json={"password": "now there is one"})
        assert changed.status_code == 200
        assert (await api.http.post("/v1/auth/login", json=login)).status_code == 200


class TestUpdateUser:
    async def test_a_new_role_brings_its_scope_unless_one_is_named(self, owner: Account) -> None:
        user = await owner.made("/v1/users", json=body(role="rep"))
        path = f"/v1/users/{user['id']}"
        assert (await owner.patch(path, json={"role": "manager"})).json()["record_scope"] == "subtree"
        named = (await owner.patch(path, json={"role": "rep", "record_scope": "team"})).json()
        assert (named["role"], named["record_scope"]) == ("rep", "team")

    async def test_what_changes_nothing_is_no_event(self, owner: Account) -> None:
        user = await owner.made("/v1/users", json=body())
        same = await owner.patch(f"/v1/users/{user['id']}", json={"name": user["name"]})
        assert same.json() == user

    async def test_a_new_password_ends_all_sign_ins(self, owner: Account) -> None:
        rep = await owner.add_user(role=Role.REP)
        answer = await owner.patch(f"/v1/users/{rep.user_id}", json={"password": "another long phrase"})
        assert answer.status_code == 200
        assert (await rep.get("/v1/me")).status_code == 401

    async def test_a_password_used_elsewhere_too_is_not_ones_to_change(self, owner: Account, stranger: Account) -> None:
        user = await stranger.made("/v1/users", json=body(email=owner.email, password=owner.password))
        answer = await stranger.patch(f"/v1/users/{user['id']}", json={"password": "taken over phrase"})
        assert (answer.status_code, answer.json()["code"]) == (409, "password_not_yours")
        assert (await owner.get("/v1/me")).status_code == 200

    @pytest.mark.parametrize("change", [{"role": "rep"}, {"is_active": False}])
    async def test_the_last_owner_stays(self, owner: Account, change: dict[str, Any]) -> None:
        path = f"/v1/users/{owner.user_id}"
        answer = await owner.patch(path, json=change)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")
        await owner.made("/v1/users", json=body(role="owner"))
        assert (await owner.patch(path, json=change)).status_code == 200

    async def test_an_admin_neither_makes_nor_touches_owners(self, owner: Account) -> None:
        admin = await owner.add_user(role=Role.ADMIN)
        answers = [
            await admin.post("/v1/users", json=body(role="owner")),
            await admin.patch(f"/v1/users/{admin.user_id}", json={"role": "owner"}),
            await admin.patch(f"/v1/users/{owner.user_id}", json={"is_active": False}),
            await admin.patch(f"/v1/users/{owner.user_id}", json={"password": "taken over phrase"}),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4

    @pytest.mark.parametrize("field", ["id", "organization_id", "person_id", "version", "email", "created_at"])
    async def test_a10_other_fields_are_refused(self, owner: Account, field: str) -> None:
        answer = await owner.patch(f"/v1/users/{owner.user_id}", json={field: "x"})
        assert answer.status_code == 422
        null = await owner.patch(f"/v1/users/{owner.user_id}", json={"name": None})
        assert null.status_code == 422


async def test_nobody_waits_for_a_connection_while_a_password_is_hashed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await start_api(database, pool_size=1)
    owner = await api.sign_up()
    rep = await owner.made("/v1/users", json=body())
    passwords, is_hashing, may_end = api.app.state.services.passwords, asyncio.Event(), asyncio.Event()

    def slowed(work: Callable[..., Any]) -> Callable[..., Any]:
        async def slow(*arguments: Any, **options: Any) -> Any:
            is_hashing.set()
            await may_end.wait()
            return await work(*arguments, **options)

        return slow

    monkeypatch.setattr(passwords, "hash", slowed(passwords.hash))
    monkeypatch.setattr(passwords, "verify", slowed(passwords.verify))
    sign_up = {**body(), "organization_name": "Acme"}
    requests: tuple[Callable[[], Any], ...] = (
        lambda: owner.post("/v1/users", json=body(), headers={"Idempotency-Key": "slow"}),
        lambda: owner.patch(f"/v1/users/{rep['id']}", version=1, json={"password": "another long phrase"}),
        lambda: api.http.post("/v1/auth/signup", json=sign_up),
        lambda: api.http.post("/v1/auth/login", json={name: sign_up[name] for name in ("email", "password")}),
    )
    for request in requests:
        is_hashing.clear()
        may_end.clear()
        answer, hashing = asyncio.create_task(request()), asyncio.create_task(is_hashing.wait())
        await asyncio.wait({answer, hashing}, return_when=asyncio.FIRST_COMPLETED)
        assert hashing.done(), await answer
        assert (await owner.get("/v1/me")).status_code == 200
        may_end.set()
        assert (await answer).is_success
    await api.close()


#: Which roles may do what, A-10. Everybody may read.
ADMINISTRATION: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
    ("POST", "/v1/users", body),
    ("POST", "/v1/teams", lambda: {"name": new_email("team")}),
    ("PATCH", "/v1/organizations/{organization_id}", lambda: {"name": "Renamed"}),
    ("PATCH", "/v1/users/{user_id}", lambda: {"name": "Renamed"}),
]


@pytest.mark.parametrize("role", list(Role))
async def test_a10_only_owners_and_admins_administrate(owner: Account, role: Role) -> None:
    caller = await owner.add_user(role=role)
    other = await owner.made("/v1/users", json=body())
    for method, path, make_body in ADMINISTRATION:
        place = path.format(organization_id=owner.organization_id, user_id=other["id"])
        headers = {}
        if method == "PATCH":
            headers = {"If-Match": f'"{(await caller.read(place))["version"]}"'}
        answer = await caller.call(method, place, json=make_body(), headers=headers)
        assert answer.is_success == (role in {Role.OWNER, Role.ADMIN}), (role, method, path, answer.text)
        assert answer.is_success or answer.json()["code"] == "forbidden"
    for path in ("/v1/users", "/v1/teams", "/v1/organizations", "/v1/me", "/v1/picklists/source"):
        assert (await caller.get(path)).status_code == 200


async def test_events_hold_nothing_personal_and_no_secret(api_database: Database, api: Api, owner: Account) -> None:
    rep = await owner.made(
        "/v1/users", json=body(email="canary@example.com", name="CANARY Name", password="CANARY secret phrase")
    )
    await owner.patch(f"/v1/users/{rep['id']}", json={"name": "CANARY Renamed"})
    await owner.made("/v1/teams", json={"name": "CANARY Team", "manager_id": rep["id"]})
    await owner.patch(f"/v1/organizations/{owner.organization_id}", json={"name": "CANARY Org", "currency": "JPY"})
    signed_in = await api.sign_in("canary@example.com", "CANARY secret phrase")
    with psycopg.connect(api_database.admin_url) as admin:
        log = admin.execute("select event_log::text from event_log").fetchall()
        everything = [
            row[0]
            for table in ("people", "users", "sessions", "idempotency_keys", "event_log")
            for row in admin.execute(
                psycopg.sql.SQL("select t::text from {} as t").format(psycopg.sql.Identifier(table))
            )
        ]
    assert len(log) > 5
    assert not [row for row in log if "canary" in row[0].lower()]
    secrets = ("CANARY secret phrase", signed_in.refresh_token, signed_in.access_token)
    assert not [row for row in everything if any(secret in row for secret in secrets)]
