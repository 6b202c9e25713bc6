"""Access to mailboxes at Google and Microsoft: renewed before it ends, kept, and said where it is refused."""

from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from ingest.channels import mail
from ingest.channels.mail_tokens import MailTokens
from tests.channels.conftest import Connecting, Connection


class TokenServer:
    """Gives a token for each refresh token that it knows."""

    def __init__(self) -> None:
        self.known = "CANARY-refresh"
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if form["refresh_token"] != self.known:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": f"token {len(self.asked)}", "expires_in": 3_600})


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenServer]:
    running, app = TokenServer(), web.Application()
    app.router.add_post("/token", running.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("SLUICE_GOOGLE_TOKEN_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/token")
    yield running
    await runner.cleanup()


async def mailbox(connecting: Connecting, **secret: str) -> tuple[Connection, MailTokens]:
    given = {"refresh_token": "CANARY-refresh", "client_id": "sluice", "client_secret": "s", **secret}
    connection: Connection = await connecting("email", "sales@us.example", secret=given, oauth="google")
    found: dict[str, Any] = await connection.api.connection(connection.held)
    return connection, MailTokens(connection.api, connection.held, found)


async def test_a_token_is_renewed_before_it_ends_and_kept(connecting: Connecting, server: TokenServer) -> None:
    connection, tokens = await mailbox(connecting, access_token="old", expires_at=str(int(time()) + 60))
    assert (await tokens.secret())["access_token"] == "token 1"
    assert (await tokens.secret())["access_token"] == "token 1"
    [asked] = server.asked
    assert asked == {
        "grant_type": "refresh_token",
        "refresh_token": "CANARY-refresh",
        "client_id": "sluice",
        "client_secret": "s",
    }
    kept = (await connection.api.connection(connection.held))["secret"]
    assert (kept["access_token"], kept["refresh_token"]) == ("token 1", "CANARY-refresh")
    assert 3_500 < float(kept["expires_at"]) - time() < 3_700


async def test_access_that_was_taken_away_is_said(connecting: Connecting, server: TokenServer) -> None:
    server.known = "another"
    connection, _ = await mailbox(connecting)
    with pytest.raises(OSError, match="answers 400"):
        await mail.connect(connection.api, connection.held)
    account = await connection.account()
    assert (account["state"], account["reason"]) == ("connecting", "sign_in_refused")
