"""C-1 for connectors: killed under traffic, they lose nothing, double nothing, and what nobody knows is shown so."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import psycopg
import pytest

from ingest.channels import telegram_sign_in
from tests.api.crm.conftest import Crm
from tests.api.live.conftest import served
from tests.channels import connector_process, test_mail, test_telegram, test_x
from tests.channels.conftest import Connecting, Connection, soon
from tests.channels.dovecot import Dovecot
from tests.channels.telegram_server import TelegramServer
from tests.channels.x_server import ADA, SPEC, XServer
from tests.mailbox import smtp_server

_SCOPES = ["accounts:read", "accounts:write", "channels:write"]


@dataclass
class Provider:
    """The other side: lets a message of theirs arrive, and tells which texts of ours it has got."""

    connection: Connection
    arrive: Callable[[str], object]
    got: Callable[[], list[str]]
    environment: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def _email(connecting: Connecting, dovecot: Dovecot) -> AsyncIterator[Provider]:
    with smtp_server() as smtp:
        connection = await test_mail.mailbox(connecting, dovecot, smtp_port=smtp.port)
        numbers = iter(range(1, 10_000))

        def arrive(text: str) -> None:
            more = {"References": "<n1@acme.example>"}
            dovecot.append(test_mail.written(next(numbers), text, **more))

        def got() -> list[str]:
            return [_words(mail) for mail in smtp.mails]

        yield Provider(connection, arrive, got, {"SLUICE_OUTGOING_ALLOW": "127.0.0.1/32"})


def _words(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).strip()


@asynccontextmanager
async def _telegram(connecting: Connecting) -> AsyncIterator[Provider]:
    server = await TelegramServer().start()
    us, ada = server.person(test_telegram.PHONE, "Us"), server.person("+4930000002", "Ada", username="ada")
    connection = await test_telegram.signed_in(connecting, server)

    def got() -> list[str]:
        return [one.message for one in ada.box.values() if not one.out]

    keys = {"SLUICE_TELEGRAM_API_ID": "1", "SLUICE_TELEGRAM_API_HASH": "hash"}
    yield Provider(connection, lambda text: server.say(ada, us, text), got, keys)
    await server.mtproto.stop()


@asynccontextmanager
async def _x(connecting: Connecting) -> AsyncIterator[Provider]:
    if not SPEC.exists():
        pytest.skip(f"X's OpenAPI is not beside the project: {SPEC}")
    server = XServer()
    connection = await test_x.account(connecting)

    def got() -> list[str]:
        return [one["text"] for one in server.x.events if one["sender_id"] != ADA]

    yield Provider(connection, lambda text: server.x.say(ADA, text), got, {"SLUICE_X_API_URL": server.url})
    server.stop()


@dataclass
class Traffic:
    """People write on both sides until told to stop."""

    provider: Provider
    theirs: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to end it: after whole turns alone, so that what was written is what is remembered as written."""

    async def flow(self, seconds: float) -> None:
        owner = self.provider.connection.owner
        while not self.over.is_set():
            self.theirs.append(f"Theirs {len(self.theirs)}")
            await asyncio.to_thread(self.provider.arrive, self.theirs[-1])
            if found := (await owner.get("/v1/conversations")).json()["items"]:
                text = f"Ours {len(self.ours)}"
                await owner.made(f"/v1/conversations/{found[0]['id']}/messages", {"text": text})
                self.ours.append(text)
            await asyncio.sleep(seconds)


async def _environment(provider: Provider, port: int) -> dict[str, str]:
    connection = provider.connection
    await connection.api.release(connection.held)
    body = {"name": "A connector to kill", "scopes": _SCOPES, "role": "admin"}
    key = (await connection.owner.made("/v1/api-keys", body))["key"]
    return {"SLUICE_API_URL": f"http://127.0.0.1:{port}", "SLUICE_CHANNELS_KEYS": key, **provider.environment}


async def _kill(crm: Crm, process: Any) -> None:
    process.kill()
    await asyncio.to_thread(process.join)
    with psycopg.connect(crm.admin_url) as admin:  # as if its lease had run out
        admin.execute("update bd_accounts set lease_until = now()")


async def _kill_often(crm: Crm, channel: str, provider: Provider, kills: int) -> tuple[Traffic, list[dict[str, Any]]]:
    rng, traffic = random.Random(18), Traffic(provider)
    async with served(crm.app) as port:
        environment = await _environment(provider, port)
        flowing = asyncio.create_task(traffic.flow(0.1))
        for _ in range(kills):
            process = connector_process.start(channel, environment)
            await asyncio.sleep(rng.uniform(0.2, 1.6))
            await _kill(crm, process)
        traffic.over.set()
        await flowing
        process = connector_process.start(channel, environment)

        async def is_over() -> bool:
            with psycopg.connect(crm.admin_url) as admin:
                [(theirs, waiting)] = admin.execute(
                    "select count(*) filter (where direction = 'in'),"
                    " count(*) filter (where state in ('queued', 'sending')) from messages"
                ).fetchall()
            return bool(theirs >= len(traffic.theirs) and not waiting)

        await soon(is_over, seconds=120)
        await _kill(crm, process)
    return traffic, await provider.connection.messages()


@pytest.mark.parametrize("channel", ["email", "telegram", "x"])
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
async def test_c1_killed_connectors_lose_nothing_and_double_nothing(
    crm: Crm, connecting: Connecting, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *,
    channel: str, kills: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(telegram_sign_in, "_LOOK_SECONDS", 0.05)
    at_provider = {
        "email": lambda: _email(connecting, request.getfixturevalue("dovecot")),
        "telegram": lambda: _telegram(connecting),
        "x": lambda: _x(connecting),
    }
    async with at_provider[channel]() as provider:
        traffic, found = await _kill_often(crm, channel, provider, kills)
        got = Counter(provider.got())
    assert sorted(one["text"].strip() for one in found if one["direction"] == "in") == sorted(traffic.theirs)
    ours = {one["text"].strip(): one["state"] for one in found if one["direction"] == "out"}
    assert len(ours) == len([one for one in found if one["direction"] == "out"])
    assert sorted(ours) == sorted(traffic.ours)
    assert set(got.values()) <= {1}
    states = Counter(ours.values())
    print(f"{channel}: {kills} kills, {len(traffic.theirs)} in, {len(traffic.ours)} out: {dict(states)}")
    assert set(states) <= {"sent", "unknown"}
    assert states["unknown"] <= (0 if channel == "telegram" else kills)
    assert {text for text, state in ours.items() if state == "sent"} <= set(got) <= set(traffic.ours)
