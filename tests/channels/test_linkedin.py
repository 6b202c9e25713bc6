"""LinkedIn against a server of its profile endpoint: the account says how its token is found, and nothing is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from aiohttp import web

from ingest.channels import linkedin
from tests.channels.conftest import Connecting, Connection, soon


class LinkedIn:
    """Whom a token is of, by OpenID Connect."""

    def __init__(self) -> None:
        self.token = "CANARY-token"
        self.paths: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.paths.append(f"{request.method} {request.path}")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"code": "INVALID_ACCESS_TOKEN", "status": 401}, status=401)
        return web.json_response({"sub": "782bbtaQ", "name": "Ada"})


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LinkedIn]:
    running, app = LinkedIn(), web.Application()
    app.router.add_route("*", "/{path:.*}", running.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    monkeypatch.setenv("SLUICE_LINKEDIN_API_URL", f"http://127.0.0.1:{port}")
    yield running
    await runner.cleanup()


async def test_a_token_is_looked_at_and_messages_wait_for_a_person(
    connecting: Connecting, server: LinkedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkedin, "_LOOK_SECONDS", 0.05)
    connection: Connection = await connecting("linkedin", "ada", secret={"access_token": server.token})
    running = asyncio.create_task(linkedin.connect(connection.api, connection.held))

    async def is_active() -> bool:
        return bool((await connection.account())["state"] == "active")

    await soon(is_active)
    body = {"account_id": str(connection.held.id), "address": "ben", "text": "Hello"}
    await connection.owner.made("/v1/conversations", body)
    assert await connection.api.claim(connection.held) == []
    [waiting] = await connection.messages(state="queued")
    confirmed = await connection.owner.post(f"/v1/messages/{waiting['id']}/confirm")
    assert confirmed.json()["state"] == "sent"
    server.token = "another"
    with suppress(OSError):
        await running
    account = await connection.account()
    assert (account["state"], account["reason"]) == ("limited", "sign_in_refused")
    assert set(server.paths) == {"GET /v2/userinfo"}
