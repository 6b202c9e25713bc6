"""A-11: GCRA, right under several processes and in both stores; a victim is never locked out (A-3)."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from api.edge.limits import Allowance, Limiter, RateLimited
from api.kernel.database import Database as ApiDatabase
from api.kernel.errors import Unavailable
from runtime.process import free_port
from tests.conftest import Database
from tests.factories import PASSWORD, Account, Api, start_api

_BURST, _PER_MINUTE = 20, 120


@pytest_asyncio.fixture(params=["postgresql", "redis"])
async def limiters(request: pytest.FixtureRequest, api_database: Database) -> AsyncIterator[list[Limiter]]:
    """Two processes' worth, on one store."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    databases = [ApiDatabase(api_database.app_url) for _ in range(2)]
    made = [Limiter(database, redis_url=url) for database in databases]
    yield made
    for limiter, database in zip(made, databases, strict=True):
        await limiter.close()
        await database.close()


async def test_a11_of_500_at_once_no_more_pass_than_the_burst_and_what_refills(limiters: list[Limiter]) -> None:
    wanted = Allowance("test", _PER_MINUTE, _BURST).of(f"somebody {time.time()}")
    began = time.monotonic()

    attempts = (limiters[number % 2].take(wanted) for number in range(500))
    found = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [one for one in found if isinstance(one, RateLimited)]
    assert all(int(one.headers["Retry-After"]) >= 1 for one in refused)
    allowed = len(found) - len(refused)
    seconds = time.monotonic() - began
    assert _BURST <= allowed <= _BURST + 1 + _PER_MINUTE / 60 * seconds + 1
    [standing] = await limiters[0].show(wanted)
    assert standing.remaining <= 1 + _PER_MINUTE / 60 * 2


async def test_a11_what_is_refused_takes_nothing_and_others_have_their_own(limiters: list[Limiter]) -> None:
    few = Allowance("few", per_minute=1, burst=1)
    mine, yours = few.of(f"mine {time.time()}"), few.of(f"yours {time.time()}")
    for _ in range(2):
        await limiters[0].take(mine)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await limiters[1].take(mine)
    [standing] = await limiters[0].show(mine)
    assert standing.reset_seconds <= 121
    assert (await limiters[0].take(yours)).remaining == 1


async def test_a11_without_redis_sign_in_fails_closed_and_the_rest_goes_on(api_database: Database) -> None:
    database = ApiDatabase(api_database.app_url)
    limiter = Limiter(database, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    wanted = Allowance("test", 1, 1).of("x")
    with pytest.raises(Unavailable):
        await limiter.take(wanted, is_sign_in=True)
    assert (await limiter.take(wanted)).remaining == 1
    await limiter.close()
    await database.close()


@pytest_asyncio.fixture
async def limited(api_database: Database) -> AsyncIterator[Api]:
    started = await start_api(api_database, limits_are_on=True, limit_account_per_minute=100)
    yield started
    await started.close()


async def test_a11_answers_say_how_the_allowance_stands_and_when_to_come_again(limited: Api) -> None:
    owner = await limited.sign_up()
    answers = [await owner.get("/v1/teams") for _ in range(24)]
    passed = [answer for answer in answers if answer.status_code == 200]
    assert passed[0].headers["RateLimit-Limit"] == "21"
    assert int(passed[0].headers["RateLimit-Remaining"]) > int(passed[5].headers["RateLimit-Remaining"])
    refused = answers[-1]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    assert refused.headers["RateLimit-Remaining"] == "0"


async def test_limits_are_shown_per_key_and_organization(limited: Api) -> None:
    owner = await limited.sign_up()
    shown = (await owner.read("/v1/me/limits"))["items"]
    assert [limit["name"] for limit in shown] == ["account", "organization"]
    assert shown[0]["remaining"] < shown[0]["limit"]


async def _attempts(api: Api, owner: Account, *, peer: str, count: int, password: str) -> list[int]:
    transport = httpx.ASGITransport(api.app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        body = {"email": owner.email, "password": password}
        return [(await client.post("/v1/auth/login", json=body)).status_code for _ in range(count)]


async def test_a3_whoever_guesses_is_stopped_and_the_owner_still_gets_in_from_where_they_were(limited: Api) -> None:
    owner = await limited.sign_up()
    guesses = await _attempts(limited, owner, peer="203.0.113.9", count=30, password="a wrong phrase")
    assert guesses[0] == 401
    assert guesses[-1] == 429
    assert await _attempts(limited, owner, peer="198.51.100.3", count=1, password=PASSWORD) == [429]
    assert await _attempts(limited, owner, peer="127.0.0.1", count=1, password=PASSWORD) == [200]


async def test_a11_forwarded_addresses_are_believed_of_our_own_proxies_only(limited: Api) -> None:
    owner = await limited.sign_up()
    transport = httpx.ASGITransport(limited.app, client=("203.0.113.77", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        statuses = [
            (
                await client.post(
                    "/v1/auth/login",
                    json={"email": owner.email, "password": "a wrong phrase"},
                    headers={"X-Forwarded-For": f"198.51.100.{number}"},
                )
            ).status_code
            for number in range(30)
        ]
    assert statuses[-1] == 429
