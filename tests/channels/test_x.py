"""X against a server made from its OpenAPI: nothing is lost, nothing is doubled, nobody is written to twice."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from time import time
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from ingest.channels import x
from ingest.channels.x import FloodError, Messages, SignedOutError, XClient
from tests.api.crm.conftest import Crm
from tests.channels.conftest import Connecting, Connection, soon
from tests.channels.x_server import ADA, SPEC, US, XServer

pytestmark = pytest.mark.skipif(not SPEC.exists(), reason=f"X's OpenAPI is not beside the project: {SPEC}")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[XServer]:
    running = XServer()
    monkeypatch.setenv("SLUICE_X_API_URL", running.url)
    yield running
    running.stop()
    assert running.x.broken == []


async def account(connecting: Connecting, **secret: str) -> Connection:
    made: Connection = await connecting("x", "@us", secret={"access_token": "first", **secret}, look_seconds=1)
    return made


class Reading:
    """A connector's reading, step by step."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def __aenter__(self) -> Messages:
        held, api = self.connection.held, self.connection.api
        found = await api.connection(held)
        self.client = XClient(api, held, found)
        return await Messages.of(self.client, api, held, found)

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()


async def write(connection: Connection, text: str, **more: Any) -> dict[str, Any]:
    body = {"account_id": str(connection.held.id), "text": text, **more}
    made: dict[str, Any] = await connection.owner.made("/v1/conversations", body)
    return made


async def test_what_was_there_and_what_comes_is_taken_in_once(connecting: Connecting, server: XServer) -> None:
    server.x.page = 7
    for number in range(30):
        server.x.say(ADA, f"Text {number}")
    connection = await account(connecting)
    async with Reading(connection) as messages:
        await messages.read()
        server.x.say(ADA, "Text 30")
        await messages.read()
    connection = await connection.again()
    async with Reading(connection) as messages:
        server.x.say(US, "Text 31", to=ADA)
        await messages.read()
        messages._newest = 0  # a cursor that got lost doubles nothing
        await messages.read()
    found = await connection.messages()
    assert [one["text"] for one in found] == [f"Text {number}" for number in range(32)]
    assert len({one["conversation_id"] for one in found}) == 1
    assert (found[0]["direction"], found[-1]["direction"]) == ("in", "out")


async def test_what_is_missing_is_noticed_and_healed(connecting: Connecting, server: XServer) -> None:
    lost = [server.x.say(ADA, f"Text {number}") for number in range(100)][41]
    connection = await account(connecting)
    server.x.hidden.add(lost["id"])
    async with Reading(connection) as messages:
        await messages.read()
        assert len(await connection.messages()) == 99
        server.x.hidden.clear()
        assert await messages.compare() == [lost["id"]]
        assert await messages.compare() == []
    assert len(await connection.messages()) == 100


async def test_a_message_goes_once_and_the_answer_comes_into_its_conversation(
    connecting: Connecting, server: XServer
) -> None:
    connection = await account(connecting)
    await connection.api.report(connection.held, "active")
    begun = await write(connection, "Hello", address="@ada")
    async with Reading(connection) as messages:
        [job] = await connection.api.claim(connection.held)
        outcome = await messages.deliver(job)
        await connection.api.told(connection.held, job, **outcome)
        server.x.say(ADA, "Hello yourself")
        await messages.read()
        await connection.owner.made(f"/v1/conversations/{begun['id']}/messages", {"text": "Again"})
        [job] = await connection.api.claim(connection.held)
        await connection.api.told(connection.held, job, **await messages.deliver(job))
        await messages.read()
    found = await connection.messages()
    assert [(one["text"], one["state"]) for one in found] == [
        ("Hello", "sent"),
        ("Hello yourself", "received"),
        ("Again", "sent"),
    ]
    assert {one["conversation_id"] for one in found} == {begun["id"]}
    assert [one["text"] for one in server.x.events] == ["Hello", "Hello yourself", "Again"]


async def test_an_answer_that_got_lost_is_unknown_until_the_message_is_seen(
    connecting: Connecting, server: XServer
) -> None:
    connection = await account(connecting)
    await connection.api.report(connection.held, "active")
    server.x.say(ADA, "Hello")
    async with Reading(connection) as messages:
        await messages.read()
        [theirs] = await connection.messages()
        await connection.owner.made(f"/v1/conversations/{theirs['conversation_id']}/messages", {"text": "Yes"})
        [job] = await connection.api.claim(connection.held)
        server.x.lose_next = True
        outcome = await messages.deliver(job)
        assert outcome == {"state": "unknown", "reason": "connection_lost"}
        await connection.api.told(connection.held, job, **outcome)
        assert (await connection.messages())[-1]["state"] == "unknown"
        await messages.read()
    assert [(one["text"], one["state"]) for one in await connection.messages()] == [
        ("Hello", "received"),
        ("Yes", "sent"),
    ]


async def test_f1_what_is_no_answer_stops_nothing_and_is_told(connecting: Connecting, server: XServer) -> None:
    connection = await account(connecting)
    await connection.api.report(connection.held, "active")
    server.x.say(ADA, "Hello")
    server.x.events.append({"id": "no number", "event_type": "MessageCreate"})
    server.x.say(ADA, "Hello again")
    async with Reading(connection) as messages:
        await messages.look()
        found = await connection.messages()
        assert [one["text"] for one in found] == ["Hello", "Hello again"]
        days = (await connection.owner.get(f"/v1/bd-accounts/{connection.held.id}/days")).json()["items"]
        assert (days[0]["stored"], days[0]["failed"]) == (2, {"not_whole": 1})
        for nonsense in (b"<html>sorry</html>", b"[]"):
            server.x.garbage.append(nonsense)
            with pytest.raises(OSError, match="X answers"):
                await messages.look()
        path = f"/v1/conversations/{found[0]['conversation_id']}/messages"
        await connection.owner.made(path, {"text": "Yes"})
        [job] = await connection.api.claim(connection.held)
        server.x.garbage.append(b'{"data": []}')
        assert await messages.deliver(job) == {"state": "unknown", "reason": "odd_answer"}


async def test_an_old_token_is_renewed_and_kept_and_without_one_it_says_so(
    connecting: Connecting, server: XServer
) -> None:
    connection = await account(connecting, refresh_token="again", client_id="sluice")
    server.x.access_token = "second"
    server.x.say(ADA, "Hello")
    async with Reading(connection) as messages:
        await messages.read()
    assert len(await connection.messages()) == 1
    connection = await connection.again()
    kept = (await connection.api.connection(connection.held))["secret"]
    assert (kept["access_token"], kept["refresh_token"]) == ("second", "again!")
    server.x.access_token, server.x.refresh_token = "third", "other"
    with pytest.raises(SignedOutError):
        async with Reading(connection):
            pass


async def test_a_rate_limit_is_waited_out_to_the_second(connecting: Connecting, server: XServer) -> None:
    connection = await account(connecting)
    async with Reading(connection) as messages:
        server.x.busy_until = int(time()) + 300
        with pytest.raises(FloodError) as flood:
            await messages.read()
    assert 299 <= flood.value.seconds <= 302


class TestWebhook:
    SECRET = "CANARY-consumer-secret"

    @staticmethod
    def _path(connection: Connection) -> str:
        return f"/v1/x-webhooks/{connection.owner.organization_id}/{connection.held.id}"

    def _signature(self, body: bytes, secret: str = SECRET) -> str:
        return "sha256=" + b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()

    async def _deliver(self, crm: Crm, connection: Connection, body: bytes, signature: str | None = None) -> int:
        headers = {"x-twitter-webhooks-signature": signature or self._signature(body)}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(crm.app), base_url="http://api") as http:
            return (await http.post(self._path(connection), content=body, headers=headers)).status_code

    async def _news_at(self, connection: Connection) -> str | None:
        await connection.api.claim(connection.held)
        return connection.api.news_at[connection.held.id]

    async def test_x_is_shown_that_the_secret_is_known_here(self, crm: Crm, connecting: Connecting) -> None:
        connection = await account(connecting, consumer_secret=self.SECRET)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(crm.app), base_url="http://api") as http:
            answer = await http.get(self._path(connection), params={"crc_token": "challenge"})
            assert answer.json() == {"response_token": self._signature(b"challenge")}
            unknown = await http.get(f"/v1/x-webhooks/{uuid7()}/{connection.held.id}", params={"crc_token": "a"})
            await connection.api.keep_secret(connection.held, consumer_secret=None)
            without = await http.get(self._path(connection), params={"crc_token": "a"})
        assert (unknown.status_code, without.status_code) == (404, 404)

    async def test_what_x_signed_is_news_once_and_anything_else_is_refused(
        self, crm: Crm, connecting: Connecting
    ) -> None:
        connection = await account(connecting, consumer_secret=self.SECRET)
        body = b'{"for_user_id": "100", "direct_message_events": []}'
        for signature in ("sha256=", self._signature(body, "another"), self._signature(body + b" ")):
            assert await self._deliver(crm, connection, body, signature) == 400
        assert await self._news_at(connection) is None
        assert await self._deliver(crm, connection, body) == 204
        told = await self._news_at(connection)
        assert told is not None
        assert await self._deliver(crm, connection, body) == 204  # X repeats what it got no answer to
        assert await self._news_at(connection) == told
        assert await self._deliver(crm, connection, b"another one") == 204
        assert await self._news_at(connection) != told

    async def test_a_connector_looks_at_once_where_x_told_of_news(
        self, crm: Crm, connecting: Connecting, server: XServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(x, "_LEAST_SECONDS", 0.1)
        connection: Connection = await connecting(
            "x", "@us", secret={"access_token": "first", "consumer_secret": self.SECRET}, look_seconds=600
        )
        server.x.say(ADA, "First")
        running = asyncio.create_task(x.connect(connection.api, connection.held))
        await soon(connection.messages)
        server.x.say(ADA, "Second")
        assert await self._deliver(crm, connection, b"news") == 204

        async def both() -> bool:
            return len(await connection.messages()) == 2

        await soon(both)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_picture_goes_with_a_message_and_one_that_comes_is_kept(
    connecting: Connecting, server: XServer
) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(1_200_000)  # two parts
    connection = await account(connecting)
    await connection.api.report(connection.held, "active")
    begun = await write(connection, "Hello", address="@ada")
    path = f"/v1/conversations/{begun['id']}/messages"
    about = {"message_id": (await connection.owner.get(path)).json()["items"][0]["id"]}
    http = connection.owner.http
    picture = (await http.post("/v1/files", files={"file": ("offer.png", png)}, data=about)).json()
    text = (await http.post("/v1/files", files={"file": ("offer.txt", b"An offer")}, data=about)).json()
    for refused in ([text["id"]], [picture["id"], text["id"]]):
        answer = await connection.owner.post(path, {"text": "Here it is", "file_ids": refused})
        assert (answer.status_code, answer.json()["code"]) == (422, "files_not_taken")
    await connection.owner.made(path, {"text": "Here it is", "file_ids": [picture["id"]]})
    server.x.works = 2  # X says twice that it is not done
    async with Reading(connection) as messages:
        for job in await connection.api.claim(connection.held):
            await connection.api.told(connection.held, job, **await messages.deliver(job))
        [(id_, sent)] = server.x.media.items()
        assert (sent["content"], sent["category"], sent["name"]) == (png, "dm_image", "offer.png")
        assert server.x.events[-1]["attachments"] == {"media_keys": [f"3_{id_}"]}
        server.x.media["7500"] = {"content": b"\xff\xd8\xffA photo", "size": 10, "name": "AbC1.jpg"}
        server.x.say(ADA, "Look", media="7500")
        await messages.look()
    theirs = [one for one in await connection.messages() if one["direction"] == "in"]
    assert [one["details"]["attachments"] for one in theirs] == [
        [{"name": "AbC1.jpg", "type": "image/jpeg", "size": 0, "part": None}]
    ]
    [kept] = (await connection.owner.get("/v1/files", params={"message_id": theirs[0]["id"]})).json()["items"]
    assert (await connection.owner.get(f"/v1/files/{kept['id']}/content")).content == b"\xff\xd8\xffA photo"


async def test_a_picture_that_x_does_not_take_fails_its_message_and_nothing_is_sent(
    connecting: Connecting, server: XServer
) -> None:
    connection = await account(connecting)
    await connection.api.report(connection.held, "active")
    begun = await write(connection, "Hello", address="@ada")
    path = f"/v1/conversations/{begun['id']}/messages"
    about = {"message_id": (await connection.owner.get(path)).json()["items"][0]["id"]}
    given = {"file": ("offer.png", b"\x89PNG\r\n\x1a\nX")}
    picture = (await connection.owner.http.post("/v1/files", files=given, data=about)).json()
    await connection.owner.made(path, {"text": "Here it is", "file_ids": [picture["id"]]})
    server.x.refuses = True
    async with Reading(connection) as messages:
        _, job = await connection.api.claim(connection.held)
        assert await messages.deliver(job) == {"state": "failed", "reason": "file_http_400"}
    assert server.x.events == []
