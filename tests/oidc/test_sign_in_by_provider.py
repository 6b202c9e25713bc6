"""A-8: signing in by an OpenID provider, and what those try who want to get in by one."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from contracts.settings import OidcProvider
from tests.conftest import Database
from tests.factories import Account, Api, new_email, start_api
from tests.oidc.providers import (
    REDIRECT,
    LyingProvider,
    as_setting,
    certified_provider,
    go_through,
    lying_provider,
)


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="module")
def certified() -> Iterator[OidcProvider]:
    with certified_provider() as running:
        yield running


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as running:
        yield running


@pytest_asyncio.fixture
async def api(database: Database, certified: OidcProvider, liar: LyingProvider) -> AsyncIterator[Api]:
    started = await start_api(database, oidc_providers=[certified, as_setting("liar", liar.issuer)])
    yield started
    await started.close()


async def begin(api: Api, provider: str = "certified", redirect_uri: str = REDIRECT) -> dict[str, Any]:
    answer = await api.http.post(f"/v1/auth/oidc/{provider}/begin", json={"redirect_uri": redirect_uri})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def come_back(api: Api, begun: dict[str, Any], back: dict[str, str], **changes: Any) -> httpx.Response:
    body = {"ticket": begun["ticket"], **back, **changes}
    return await api.http.post("/v1/auth/oidc/return", json=body)


async def by_certified(api: Api, name: str) -> httpx.Response:
    begun = await begin(api)
    return await come_back(api, begun, await go_through(begun["authorization_url"], name))


async def link(account: Account, token: str) -> httpx.Response:
    return await account.post("/v1/me/identities", json={"token": token})


async def test_an_account_links_a_provider_once_and_signs_in_by_it_from_then_on(api: Api) -> None:
    owner = await api.sign_up(email=new_email("sso"))
    [shown] = [one for one in (await api.http.get("/v1/auth/oidc")).json()["items"] if one["key"] == "certified"]
    assert shown["label"] == "Certified"
    first = (await by_certified(api, owner.email)).json()
    assert (first["step"], first["tokens"]) == ("link", None)
    assert (await link(owner, first["token"])).status_code == 204
    second = (await by_certified(api, owner.email)).json()
    assert second["step"] == "done"
    me = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {second['tokens']['access_token']}"})
    assert me.json()["id"] == str(owner.user_id)
    [identity] = (await owner.read("/v1/me/identities"))["items"]
    assert identity["subject"] == owner.email
    await owner.post("/v1/me/identities/remove", json={"issuer": identity["issuer"], "subject": identity["subject"]})
    assert (await by_certified(api, owner.email)).json()["step"] == "link"


async def test_a8_whom_nobody_knows_gets_no_account(api: Api) -> None:
    answer = await by_certified(api, new_email("nobody"))
    assert (answer.status_code, answer.json()["code"]) == (403, "nobody_vouched_for")


async def test_a8_an_address_that_the_provider_has_not_verified_opens_and_links_nothing(api: Api) -> None:
    owner = await api.sign_up(email=new_email("unverified"))
    answer = await by_certified(api, owner.email)
    assert (answer.status_code, answer.json()["code"]) == (403, "nobody_vouched_for")


async def test_a8_an_identity_links_with_its_own_address_alone(api: Api) -> None:
    victim, attacker = await api.sign_up(email=new_email("victim")), await api.sign_up(email=new_email("attacker"))
    of_attacker = (await by_certified(api, attacker.email)).json()["token"]
    answer = await link(victim, of_attacker)  # a victim who is talked into it
    assert (answer.status_code, answer.json()["code"]) == (403, "identity_of_another")
    assert (await link(attacker, of_attacker)).status_code == 204
    namesake = await api.sign_up(email=attacker.email, password="quite another phrase")
    answer = await link(namesake, of_attacker)
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_taken")


async def test_a8_who_registers_an_address_before_its_owner_gains_nothing(api: Api) -> None:
    email = new_email("early")
    squatter = await api.sign_up(email=email, password="the phrase of a squatter")
    rightful = (await by_certified(api, email)).json()
    assert rightful["step"] == "link"  # not into the squatter's account, before its password is shown
    assert (await squatter.read("/v1/me/identities"))["items"] == []


async def test_a4_a_second_factor_is_asked_for_behind_a_provider_too(api: Api) -> None:
    owner = await api.sign_up(email=new_email("careful"))
    await link(owner, (await by_certified(api, owner.email)).json()["token"])
    seed = (await owner.made("/v1/me/second-factor"))["seed"]
    code = pyotp.TOTP(seed).at(time.time() - 30)  # each code is good once
    await owner.made("/v1/me/second-factor/confirm", json={"code": code})
    answer = (await by_certified(api, owner.email)).json()
    assert (answer["step"], answer["tokens"]) == ("second_factor", None)

    async def show(given: str) -> httpx.Response:
        return await api.http.post("/v1/auth/oidc/second-factor", json={"token": answer["token"], "code": given})

    assert (await show("000000")).status_code == 401
    assert (await show(code)).status_code == 401
    assert (await show(pyotp.TOTP(seed).now())).status_code == 200
    assert (await link(owner, answer["token"])).status_code == 422  # a token is for one thing


class TestAttacks:
    async def test_a8_a_code_works_once_and_in_its_own_browser_alone(self, api: Api) -> None:
        owner = await api.sign_up(email=new_email("codes"))
        mine, theirs = await begin(api), await begin(api)
        back = await go_through(mine["authorization_url"], owner.email)
        refused = await come_back(api, theirs, back)
        assert (refused.status_code, refused.json()["code"]) == (422, "ticket_not_good")  # another browser's state
        state = parse_qs(urlsplit(theirs["authorization_url"]).query)["state"][0]
        refused = await come_back(api, theirs, back, state=state)  # injected: the verifier is another one
        assert (refused.status_code, refused.json()["code"]) == (403, "provider_refused")
        back = await go_through(mine["authorization_url"], owner.email)
        assert (await come_back(api, mine, back)).status_code == 200
        replayed = await come_back(api, mine, back)
        assert (replayed.status_code, replayed.json()["code"]) == (403, "provider_refused")

    async def test_a8_what_comes_from_another_issuer_is_a_mix_up(self, api: Api, liar: LyingProvider) -> None:
        begun = await begin(api)
        back = await go_through(begun["authorization_url"], new_email("mixed"))
        assert back["iss"].startswith("http://127.0.0.1")
        for iss in (liar.issuer, None):  # the certified provider always names itself
            answer = await come_back(api, begun, back, iss=iss)
            assert (answer.status_code, answer.json()["code"]) == (403, "provider_refused")
        assert liar.asked == []  # nobody's code went to somebody else

    async def test_a8_back_to_known_addresses_alone(self, api: Api) -> None:
        for wrong in ("https://evil.example/sso/return", REDIRECT + "/../x", REDIRECT + "?x=1", REDIRECT + "@evil"):
            answer = await api.http.post("/v1/auth/oidc/certified/begin", json={"redirect_uri": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "redirect_not_allowed"), wrong
        missing = await api.http.post("/v1/auth/oidc/unknown/begin", json={"redirect_uri": REDIRECT})
        assert missing.status_code == 404

    async def test_a8_a_ticket_that_was_altered_or_is_none_is_refused(self, api: Api) -> None:
        begun = await begin(api)
        altered = begun["ticket"][:-6] + ("A" if begun["ticket"][-6] != "A" else "B") + begun["ticket"][-5:]
        for ticket in (altered, "", "x", "é"):
            answer = await come_back(api, {"ticket": ticket}, {"state": "s", "code": "c"})
            assert (answer.status_code, answer.json()["code"]) == (422, "ticket_not_good")

    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": None},
            {"aud": "somebody else"},
            {"aud": ["sluice", "somebody else"], "azp": "somebody else"},
            {"iss": "https://accounts.google.com"},
            {"exp": 1_000_000_000},
            {"exp": None},
            {"sub": None},
            {"sub": ""},
            {"sub": 7},
            {"sub": "x" * 300},
        ],
        ids=str,
    )
    async def test_a8_claims_that_are_not_for_us_and_now(
        self, api: Api, liar: LyingProvider, claims: dict[str, Any]
    ) -> None:
        answer = await self._lie(api, liar, claims)
        assert (answer.status_code, answer.json()["code"]) == (403, "provider_refused")

    @pytest.mark.parametrize("kind", ["none", "hs256 by the public key", "hs256 by the secret", "another key", "cut"])
    async def test_a8_signatures_that_are_not_the_providers(self, api: Api, liar: LyingProvider, kind: str) -> None:
        answer = await self._lie(api, liar, {}, lambda: _forged(liar, kind))
        assert (answer.status_code, answer.json()["code"]) == (403, "provider_refused")

    async def test_a8_the_truth_told_the_same_way_is_believed(self, api: Api, liar: LyingProvider) -> None:
        owner = await api.sign_up(email=new_email("truth"))
        answer = await self._lie(api, liar, {"email": owner.email, "email_verified": True})
        assert answer.json()["step"] == "link"
        for said in (False, "true", None, 1):
            answer = await self._lie(api, liar, {"sub": "other", "email": owner.email, "email_verified": said})
            assert answer.status_code == 403, said

    async def test_metadata_of_another_issuer_are_not_used(self, api: Api, liar: LyingProvider) -> None:
        liar.metadata = {"issuer": "https://accounts.google.com"}
        answer = await api.http.post("/v1/auth/oidc/liar/begin", json={"redirect_uri": REDIRECT})
        assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")

    async def _lie(
        self, api: Api, liar: LyingProvider, claims: dict[str, Any], token: Callable[[], str] | None = None
    ) -> httpx.Response:
        begun = await begin(api, "liar")
        asked = parse_qs(urlsplit(begun["authorization_url"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        liar.claims = {"nonce": asked["nonce"][0], **claims}
        liar.token = token() if token else None
        return await come_back(api, begun, {"state": asked["state"][0], "code": "c"})


def _forged(liar: LyingProvider, kind: str) -> str:
    claims = liar.all_claims()
    if kind == "none":
        parts = ({"alg": "none"}, claims)
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
        )
    if kind == "another key":
        other = RSAKey.generate_key(2048, private=True)
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, other)
    if kind == "cut":
        return liar.signed().rpartition(".")[0] + "."
    public = liar.key.as_pem(private=False)
    secret = public if kind == "hs256 by the public key" else b"a secret of tests"
    return _hs256(claims, secret)


def _hs256(claims: dict[str, Any], secret: bytes) -> str:
    key = OctKey.import_key(base64.urlsafe_b64encode(secret).decode())
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key({"kty": "oct", "k": key.as_dict()["k"]}))
