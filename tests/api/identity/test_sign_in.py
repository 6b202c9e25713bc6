"""Signing up, in, on and out."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from api.edge.security import AccessClaims, AccessTokens, Signer
from contracts.access import Role
from contracts.settings import ApiSettings
from tests.conftest import Database
from tests.factories import PASSWORD, SECRET_KEY, Account, Api, new_email, start_api

UNKNOWN = "00000000-0000-7000-8000-000000000000"


async def refresh(api: Api, token: str) -> httpx.Response:
    return await api.http.post("/v1/auth/refresh", json={"refresh_token": token})


class TestSignUp:
    async def test_makes_an_organization_with_an_owner_and_a_pipeline(self, owner: Account) -> None:
        me = await owner.read("/v1/me")
        assert (me["role"], me["record_scope"], me["is_active"]) == ("owner", "all", True)
        assert me["organization"]["id"] == str(owner.organization_id)
        [pipeline] = (await owner.read("/v1/pipelines"))["items"]
        assert {stage["kind"] for stage in pipeline["stages"]} == {"open", "won", "lost"}

    async def test_a_known_address_does_not_stand_out(self, api: Api, owner: Account) -> None:
        other = await api.sign_up(email=owner.email, password="quite another phrase")
        assert other.organization_id != owner.organization_id
        again = await api.sign_in(owner.email)
        assert again.organization_id == owner.organization_id
        assert (await api.sign_in(owner.email, "quite another phrase")).organization_id == other.organization_id

    async def test_the_same_credentials_are_the_same_person_in_two_organizations(
        self, api: Api, owner: Account
    ) -> None:
        second = await api.sign_up(email=owner.email)
        assert (await api.sign_in(owner.email)).organization_id == owner.organization_id
        chosen = await api.sign_in(owner.email, organization_id=str(second.organization_id))
        assert chosen.user_id == second.user_id

    async def test_p1_repeated_with_a_key_makes_one_organization(self, api: Api) -> None:
        body = {"email": new_email("retry"), "password": PASSWORD, "name": "A", "organization_name": "Once"}
        key = {"Idempotency-Key": "sign-up"}
        answers = await asyncio.gather(*(api.http.post("/v1/auth/signup", json=body, headers=key) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {201}
        [organization_id] = {answer.json()["organization_id"] for answer in answers}
        owner = await api.sign_in(body["email"])
        assert str(owner.organization_id) == organization_id
        assert len((await owner.read("/v1/users"))["items"]) == 1
        for other in ({"organization_name": "Another"}, {"password": "quite another phrase"}):
            refused = await api.http.post("/v1/auth/signup", json=body | other, headers=key)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize(
        "password",
        [
            "short",
            "password123",
            "PassWord123",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "87654321",
            "x" * 257,
            "Example.2026",
            "2026-sluice!",
        ],
    )
    async def test_a1b_refuses_weak_passwords(self, api: Api, password: str) -> None:
        body = {"email": "a@example.com", "password": password, "name": "A", "organization_name": "A"}
        answer = await api.http.post("/v1/auth/signup", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/password"
        assert password not in answer.text

    @pytest.mark.parametrize(
        "password", ["sluice-demo", "žluťoučký kůň", "x1" * 36 + "y", "nul\x00inside", " " * 7 + "ab"]
    )
    async def test_a1b_takes_every_character_and_cuts_nothing_off(self, api: Api, password: str) -> None:
        account = await api.sign_up(password=password)
        await api.sign_in(account.email, password)
        for almost in (password[:-1], password.upper() + "!", password.strip() + "?"):
            answer = await api.http.post("/v1/auth/login", json={"email": account.email, "password": almost})
            assert answer.status_code == 401


class TestSignIn:
    async def test_says_the_same_for_a_wrong_password_and_an_unknown_address(self, api: Api, owner: Account) -> None:
        answers = [
            await api.http.post("/v1/auth/login", json={"email": email, "password": "wrong password"})
            for email in (owner.email, "nobody@example.com", "not an address")
        ]
        assert {answer.status_code for answer in answers} == {401}
        bodies = [{**answer.json(), "correlation_id": None} for answer in answers]
        assert bodies[0] == bodies[1] == bodies[2]

    async def test_a2_an_unknown_address_costs_the_same_work(
        self, api: Api, owner: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Hashing is all but all of the time; what is counted cannot be told from outside."""
        passwords, work = api.app.state.services.passwords, list[str]()
        real = passwords._hasher

        class Counting:
            def hash(self, password: str, *, salt: bytes) -> str:
                work.append("hash")
                return str(real.hash(password, salt=salt))

            def verify(self, digest: str, password: str) -> bool:
                work.append("verify")
                return bool(real.verify(digest, password))

        monkeypatch.setattr(passwords, "_hasher", Counting())
        done = []
        for email in (owner.email, new_email("nobody")):
            await api.http.post("/v1/auth/login", json={"email": email, "password": "wrong password"})
            done.append(tuple(work))
            work.clear()
        assert done == [("hash",)] * 2

    async def test_finds_the_address_whatever_its_case(self, api: Api, owner: Account) -> None:
        assert (await api.sign_in(owner.email.upper())).user_id == owner.user_id

    async def test_a_later_registration_of_the_address_locks_nobody_out(self, api: Api, owner: Account) -> None:
        for number in range(7):
            await api.sign_up(email=owner.email, password=f"attackers phrase {number}")
        assert (await api.sign_in(owner.email)).user_id == owner.user_id

    async def test_an_organization_that_is_not_ones_own_is_refused(self, api: Api, owner: Account) -> None:
        stranger = await api.sign_up()
        body = {"email": owner.email, "password": PASSWORD, "organization_id": str(stranger.organization_id)}
        assert (await api.http.post("/v1/auth/login", json=body)).status_code == 401


async def test_a1_two_hundred_sign_ins_at_once_hash_few_at_a_time(
    api: Api, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash takes tens of MiB: as many as there are threads would be what makes a sign-in a way to end the API."""
    passwords, lock, under_way, most = api.app.state.services.passwords, threading.Lock(), 0, 0
    real = passwords._hasher  # its work is what is bounded

    class Counting:
        def hash(self, password: str, *, salt: bytes) -> str:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.002)
            with lock:
                under_way -= 1
            return str(real.hash(password, salt=salt))

        verify = real.verify

    monkeypatch.setattr(passwords, "_hasher", Counting())
    body = {"email": owner.email, "password": PASSWORD}
    answers = await asyncio.gather(*(api.http.post("/v1/auth/login", json=body) for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200, 503}, "who comes when all wait is told to come again"
    settings = ApiSettings(secret_key=SecretStr(SECRET_KEY))
    assert most <= settings.password_hash_concurrency
    assert settings.password_hash_concurrency * settings.password_hash_memory_kib * 1024 < 250_000_000


class TestRefresh:
    async def test_gives_a_new_pair_that_works(self, api: Api, owner: Account) -> None:
        answer = await refresh(api, owner.refresh_token)
        assert answer.json()["refresh_token"] != owner.refresh_token
        owner.access_token = answer.json()["access_token"]
        assert (await owner.get("/v1/me")).status_code == 200

    async def test_a6_parallel_refreshes_agree_on_one_token(self, api: Api, owner: Account) -> None:
        answers = await asyncio.gather(*(refresh(api, owner.refresh_token) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        [active] = {answer.json()["refresh_token"] for answer in answers}
        assert (await refresh(api, active)).status_code == 200

    async def test_a6_an_old_token_ends_the_sign_in_with_its_access_token(self, api: Api, owner: Account) -> None:
        second = (await refresh(api, owner.refresh_token)).json()
        third = (await refresh(api, second["refresh_token"])).json()
        assert (await refresh(api, owner.refresh_token)).status_code == 401
        assert (await refresh(api, third["refresh_token"])).status_code == 401
        owner.access_token = third["access_token"]
        assert (await owner.get("/v1/me")).status_code == 401

    async def test_a6_the_parent_is_refused_after_the_grace(self, database: Database) -> None:
        api = await start_api(database, refresh_grace_seconds=0)
        owner = await api.sign_up()
        active = (await refresh(api, owner.refresh_token)).json()["refresh_token"]
        assert (await refresh(api, owner.refresh_token)).status_code == 401
        assert (await refresh(api, active)).status_code == 401
        await api.close()

    @pytest.mark.parametrize("token", ["", "rt_", "rt_AAAA", "ü", "rt_" + "A" * 91, "x" * 400])
    async def test_refuses_what_is_not_ours(self, api: Api, owner: Account, token: str) -> None:
        assert (await refresh(api, token)).status_code == 401
        assert (await refresh(api, owner.access_token)).status_code == 401
        flipped = owner.refresh_token[:-3] + ("A" if owner.refresh_token[-3] != "A" else "B") + owner.refresh_token[-2:]
        assert (await refresh(api, flipped)).status_code == 401


class TestSignOut:
    async def test_a7_kills_access_and_refresh_token(self, api: Api, owner: Account) -> None:
        other = await api.sign_in(owner.email)
        assert (await owner.post("/v1/auth/logout")).status_code == 204
        assert (await owner.get("/v1/me")).status_code == 401
        assert (await refresh(api, owner.refresh_token)).status_code == 401
        assert (await other.get("/v1/me")).status_code == 200


def forge(claims: dict[str, Any], *, key: bytes, header: dict[str, Any] | None = None) -> str:
    full = {"alg": "HS256", "typ": "at+jwt"} | (header or {})
    return jwt.encode(full, claims, OctKey.import_key(key), algorithms=["HS256", "HS512", "none"])


class TestAccessToken:
    async def test_a5_forged_tokens_are_refused(self, api: Api, owner: Account) -> None:
        key = Signer(SECRET_KEY).key("access-token")
        good = jwt.decode(owner.access_token, OctKey.import_key(key)).claims
        assert (await api.http.get("/v1/me", headers=bearer(forge(good, key=key)))).status_code == 200
        head, body, signature = owner.access_token.split(".")
        none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"
        forged = [
            forge(good, key=b"k" * 32),
            forge(good, key=SECRET_KEY.encode()),
            forge(good, key=key, header={"alg": "HS512"}),
            forge(good, key=key, header={"typ": "JWT"}),
            forge(good, key=key, header={"kid": "../../dev/null"}),
            forge(good | {"aud": "another"}, key=key),
            forge(good | {"iss": "another"}, key=key),
            forge(good | {"exp": str(good["exp"])}, key=key),
            forge(good | {"exp": 10**18}, key=key),
            forge(good | {"exp": good["iat"] - 1, "iat": good["iat"] - 900}, key=key),
            forge(good | {"sid": UNKNOWN}, key=key),
            forge(good | {"sub": UNKNOWN}, key=key),
            forge(good | {"org": UNKNOWN}, key=key),
            forge({name: value for name, value in good.items() if name != "sid"}, key=key),
            f"{none}.{body}.",
            f"{none}.{body}.{signature}",
            f"{head}.{body}.",
            f"{head}.{body}",
            owner.refresh_token,
            "a.b.c",
        ]
        for token in forged:
            answer = await api.http.get("/v1/me", headers=bearer(token))
            assert answer.status_code == 401, token
            assert answer.headers["WWW-Authenticate"] == "Bearer"

    async def test_a5_expires(self, api: Api, owner: Account) -> None:
        tokens = AccessTokens(Signer(SECRET_KEY), seconds=60)
        key = OctKey.import_key(Signer(SECRET_KEY).key("access-token"))
        claims = jwt.decode(owner.access_token, key).claims
        made = AccessClaims(owner.organization_id, owner.user_id, claims["sid"])
        late = tokens.issue(made, now=datetime.now(UTC) - timedelta(seconds=61))
        assert (await api.http.get("/v1/me", headers=bearer(late))).status_code == 401

    async def test_a7_a_disabled_user_is_out_at_once_and_stays_out(self, api: Api, owner: Account) -> None:
        rep = await owner.add_user(role=Role.REP)
        path = f"/v1/users/{rep.user_id}"
        assert (await owner.patch(path, json={"is_active": False})).status_code == 200
        assert (await rep.get("/v1/me")).status_code == 401
        assert (await refresh(api, rep.refresh_token)).status_code == 401
        login = await api.http.post("/v1/auth/login", json={"email": rep.email, "password": rep.password})
        assert login.status_code == 401
        assert (await owner.patch(path, json={"is_active": True})).status_code == 200
        assert (await rep.get("/v1/me")).status_code == 401

    async def test_a7_a_new_role_counts_at_once(self, owner: Account) -> None:
        rep = await owner.add_user(role=Role.ADMIN)
        assert (await rep.post("/v1/teams", json={"name": "One"})).status_code == 201
        assert (await owner.patch(f"/v1/users/{rep.user_id}", json={"role": "rep"})).status_code == 200
        assert (await rep.post("/v1/teams", json={"name": "Two"})).status_code == 403


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
