"""Telegram against a server of its protocol: sign-in, chats, updates, waits; nothing is lost, nothing is sent twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from telethon import functions

from contracts.settings import ChannelSettings
from ingest.channels import telegram, telegram_chats, telegram_sign_in
from tests.channels.conftest import Connecting, Connection, soon
from tests.channels.mtproto import RpcError
from tests.channels.telegram_people import Person
from tests.channels.telegram_server import TelegramServer

PHONE = "+4930000001"
_SEND = functions.messages.SendMessageRequest


@pytest_asyncio.fixture
async def server() -> AsyncIterator[TelegramServer]:
    running = await TelegramServer().start()
    yield running
    await running.mtproto.stop()


@pytest.fixture
def us(server: TelegramServer) -> Person:
    return server.person(PHONE, "Us")


@pytest.fixture
def ada(server: TelegramServer) -> Person:
    return server.person("+4930000002", "Ada", username="ada")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram_sign_in, "_LOOK_SECONDS", 0.05)


@asynccontextmanager
async def connected(connection: Connection, server: TelegramServer) -> AsyncIterator[asyncio.Task[None]]:
    settings = ChannelSettings(
        telegram_api_id=1, telegram_api_hash=SecretStr("hash"), telegram_data_centre=f"2:127.0.0.1:{server.port}"
    )
    running = asyncio.create_task(telegram.connect(connection.api, connection.held, settings))
    yield running
    running.cancel()
    with suppress(asyncio.CancelledError, OSError):
        await running


async def telegram_account(connecting: Connecting) -> Connection:
    made: Connection = await connecting("telegram", PHONE, secret={"code": "early"})
    return made


async def waits_for(connection: Connection, reason: str) -> None:
    async def look() -> bool:
        return bool((await connection.account())["reason"] == reason)

    await soon(look)


async def is_active(connection: Connection) -> None:
    async def look() -> bool:
        return bool((await connection.account())["state"] == "active")

    await soon(look)


async def give(connection: Connection, **values: str) -> None:
    await connection.owner.made(f"/v1/bd-accounts/{connection.held.id}/secret", {"values": values})


async def signed_in(connecting: Connecting, server: TelegramServer) -> Connection:
    """An account with a session, disconnected."""
    connection = await telegram_account(connecting)
    async with connected(connection, server):
        await waits_for(connection, "code_needed")
        await give(connection, code=server.code)
        await is_active(connection)
    return await connection.again()


async def texts(connection: Connection) -> list[str]:
    return [message["text"] for message in await connection.messages()]


async def test_signs_in_by_code_and_password_and_says_what_it_waits_for(
    connecting: Connecting, server: TelegramServer
) -> None:
    server.person(PHONE, "Us", password="correct horse")
    connection = await telegram_account(connecting)
    async with connected(connection, server):
        await waits_for(connection, "code_needed")
        await give(connection, code="99999")
        await waits_for(connection, "code_wrong")
        await give(connection, code=server.code)
        await waits_for(connection, "password_needed")
        await give(connection, password="wrong")
        await waits_for(connection, "password_wrong")
        await give(connection, password="correct horse")
        await is_active(connection)
    secret = (await connection.api.connection(connection.held))["secret"]
    assert set(secret) == {"session"}
    connection = await connection.again()
    server.calls.clear()
    async with connected(connection, server):
        await soon(lambda: _called(server, functions.messages.GetDialogsRequest))
    assert not await _called(server, functions.auth.SendCodeRequest)


async def _called(server: TelegramServer, kind: type) -> bool:
    return any(isinstance(call, kind) for call in server.calls)


async def test_history_what_was_missed_and_what_comes_is_taken_in_once(
    connecting: Connecting, server: TelegramServer, us: Person, ada: Person
) -> None:
    for number in range(230):
        server.say(ada, us, f"Old {number}")
    connection = await signed_in(connecting, server)
    server.say(ada, us, "Missed")
    async with connected(connection, server):

        async def look(count: int) -> bool:
            return len(await connection.messages()) == count

        await soon(lambda: look(231))
        server.say(ada, us, "Live")
        server.mtproto.cut()
        server.say(ada, us, "While cut off")
        server.say(us, ada, "From the phone")
        await asyncio.sleep(0)
        await soon(lambda: look(232))
    connection = await connection.again()
    async with connected(connection, server):
        await soon(lambda: look(234))
    found = await connection.messages()
    assert len({message["conversation_id"] for message in found}) == 1
    assert sorted(message["text"] for message in found) == sorted(
        [*(f"Old {number}" for number in range(230)), "Missed", "Live", "While cut off", "From the phone"]
    )


async def test_edits_deletions_and_reading_follow(
    connecting: Connecting, server: TelegramServer, us: Person, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await signed_in(connecting, server)
    async with connected(connection, server):
        await is_active(connection)
        first, second = server.say(ada, us, "Frist"), server.say(ada, us, "Second")
        server.say(us, ada, "Ours")

        async def came() -> bool:
            return {"Frist", "Second"} <= set(await texts(connection))

        await soon(came)
        server.edit(ada, first, "First")
        server.delete(ada, second)

        async def followed() -> bool:
            found = {message["text"]: message for message in await connection.messages()}
            return "First" in found and found["Second"]["removed_at"] is not None

        await soon(followed)
        path = f"/v1/conversations/{(await connection.messages())[0]['conversation_id']}/messages"
        await connection.owner.made(path, {"text": "Answer"})
        await soon(lambda: connection.messages(state="sent"))
        server.read(ada, us)

        async def read() -> bool:
            return any(message["read_at"] for message in await connection.messages(state="sent"))

        await soon(read)
    # while nobody is connected Telegram tells nobody
    third = server.say(ada, us, "Thrid")
    connection = await connection.again()
    monkeypatch.setattr(telegram_chats, "_COMPARE_SECONDS", 0.1)
    async with connected(connection, server):
        await soon(lambda: _said(connection, "Thrid"))
        await soon(lambda: _seen(connection, 4))
    server.edit(ada, third, "Third")
    server.delete(ada, first)
    connection = await connection.again()
    async with connected(connection, server):
        await soon(lambda: _said(connection, "Third"))

        async def taken_back() -> bool:
            return any(one["text"] == "First" and one["removed_at"] for one in await connection.messages())

        await soon(taken_back)


async def _said(connection: Connection, text: str) -> bool:
    return text in await texts(connection)


async def _seen(connection: Connection, count: int) -> bool:
    """Whether the connector has noted that there are so many."""
    cursor = (await connection.api.connection(connection.held))["cursor"]
    return sum(len(names) for names in cursor.get("seen", {}).values()) == count


@pytest.mark.usefixtures("us", "ada")
async def test_c5_reading_waits_as_well_and_so_does_whoever_connects_next(
    connecting: Connecting, server: TelegramServer
) -> None:
    connection = await signed_in(connecting, server)
    asked = functions.messages.GetDialogsRequest
    server.refuse[asked].append(RpcError(420, "FLOOD_WAIT_2"))
    server.calls.clear()
    clock = asyncio.get_running_loop().time
    async with connected(connection, server):
        await waits_for(connection, "flood_wait")
        began = clock()
    connection = await connection.again()
    assert len([call for call in server.calls if isinstance(call, asked)]) == 1
    async with connected(connection, server):
        await is_active(connection)
        assert clock() - began >= 1.9
        await soon(lambda: _called_twice(server, asked))


async def _called_twice(server: TelegramServer, kind: type) -> bool:
    return len([call for call in server.calls if isinstance(call, kind)]) == 2


async def test_files_come_and_go(connecting: Connecting, server: TelegramServer, us: Person, ada: Person) -> None:
    connection = await signed_in(connecting, server)
    offer, plan = b"%PDF-1.4 offer" * 50_000, b"%PDF-1.4 plan"
    server.say(ada, us, "Our plan", file=("pl\u202ean.pdf", plan))
    async with connected(connection, server):
        await soon(lambda: connection.messages(state="received"))
        [theirs] = await connection.messages()
        about = {"message_id": theirs["id"]}

        async def kept() -> list[Any]:
            return list((await connection.owner.get("/v1/files", params=about)).json()["items"])

        [file] = await soon(kept)
        assert (await connection.owner.get(f"/v1/files/{file['id']}/content")).content == plan
        made = await connection.owner.http.post("/v1/files", files={"file": ("offer.pdf", offer)}, data=about)
        body = {"text": "Our offer", "file_ids": [made.json()["id"], file["id"]]}
        await connection.owner.made(f"/v1/conversations/{theirs['conversation_id']}/messages", body)
        await soon(lambda: connection.messages(state="sent"))

        async def two() -> bool:
            return len(server.files) == 3

        await soon(two)
    assert [content for _, content in server.files] == [plan, offer, plan]
    assert [one.message for one in ada.box.values() if not one.out] == ["Our offer", ""]
    connection = await connection.again()
    async with connected(connection, server):  # what was read before is not kept twice
        await soon(lambda: _count(connection, 3))
        server.say(ada, us, "Thanks")
        await soon(lambda: _count(connection, 4))
    assert len(await kept()) == 2


async def test_a_group_is_one_conversation_and_an_answer_goes_to_all(
    connecting: Connecting, server: TelegramServer, us: Person, ada: Person
) -> None:
    connection = await signed_in(connecting, server)
    team = server.group("Buyers")
    server.say_in(team, ada, "Who is for it?")
    server.say(ada, us, "Between us: I am")
    async with connected(connection, server):
        await soon(lambda: _count(connection, 2))
        found = {one["text"]: one for one in await connection.messages()}
        asked = found["Who is for it?"]
        assert asked["sender"] == "Ada"
        assert found["Between us: I am"]["conversation_id"] != asked["conversation_id"]
        path = f"/v1/conversations/{asked['conversation_id']}"
        shown = (await connection.owner.get(path)).json()
        assert (shown["subject"], shown["address"]) == ("Buyers", f"-{team.id}")
        await connection.owner.made(f"{path}/messages", {"text": "We are"})
        await soon(lambda: connection.messages(state="sent"))
        server.say_in(team, ada, "Good")
        await soon(lambda: _count(connection, 4))
    last = (await connection.owner.get(f"{path}/messages")).json()["items"]
    assert {one["text"] for one in last} == {"Who is for it?", "We are", "Good"}
    assert [one.message for _, one in sorted(ada.box.items())][-2:] == ["We are", "Good"]


async def test_c1_an_answer_that_was_lost_is_asked_again_and_sent_once(
    connecting: Connecting, server: TelegramServer, us: Person, ada: Person
) -> None:
    connection = await signed_in(connecting, server)
    body = {"account_id": str(connection.held.id), "address": "@ada", "text": "Hello"}
    await connection.owner.made("/v1/conversations", body)
    server.lost_answers = 1
    async with connected(connection, server):
        await soon(lambda: connection.messages(state="sent"))
    assert [one.message for one in ada.box.values()] == ["Hello"]
    connection = await connection.again()
    server.say(ada, us, "Hi")
    async with connected(connection, server):

        async def answered() -> bool:
            return "Hi" in await texts(connection)

        await soon(answered)
    found = await connection.messages()
    assert sorted(message["text"] for message in found) == ["Hello", "Hi"]
    assert len({message["conversation_id"] for message in found}) == 1


@pytest.mark.usefixtures("us")
async def test_c5_a_flood_wait_is_waited_out_to_the_second(
    connecting: Connecting, server: TelegramServer, ada: Person
) -> None:
    connection = await signed_in(connecting, server)
    for number in range(3):
        body = {"account_id": str(connection.held.id), "address": "@ada", "text": f"Hello {number}"}
        await connection.owner.made("/v1/conversations", body)
    server.refuse[_SEND].append(RpcError(420, "FLOOD_WAIT_3"))
    clock = asyncio.get_running_loop().time
    async with connected(connection, server):
        await soon(lambda: _called(server, _SEND))
        began = clock()
        await waits_for(connection, "flood_wait")
        assert len([call for call in server.calls if isinstance(call, _SEND)]) == 1

        async def all_sent() -> bool:
            return len(await connection.messages(state="sent")) == 3

        await soon(all_sent)
        assert clock() - began >= 3
    assert sorted(one.message for one in ada.box.values()) == ["Hello 0", "Hello 1", "Hello 2"]


@pytest.mark.parametrize(
    ("error", "reason", "state"),
    [
        (RpcError(400, "PEER_FLOOD"), "peer_flood", "limited"),
        (RpcError(403, "USER_PRIVACY_RESTRICTED"), "userprivacyrestricted", "active"),
        (RpcError(400, "USER_IS_BLOCKED"), "blocked", "active"),
    ],
)
@pytest.mark.usefixtures("us")
async def test_a_refusal_fails_the_send_and_peer_flood_stops_the_account(
    connecting: Connecting, server: TelegramServer, ada: Person, error: RpcError, reason: str, state: str
) -> None:
    connection = await signed_in(connecting, server)
    body: dict[str, Any] = {"account_id": str(connection.held.id), "address": "@ada", "text": "Hello"}
    await connection.owner.made("/v1/conversations", body)
    server.refuse[_SEND].append(error)
    async with connected(connection, server):
        [failed] = await soon(lambda: connection.messages(state="failed"))
    assert failed["failure"] == reason
    assert (await connection.account())["state"] == state
    assert ada.box == {}
    felt = (await connection.owner.get(f"/v1/bd-accounts/{connection.held.id}/health")).json()["signs"]
    assert felt == ({} if "privacy" in reason else {reason: 1})


async def test_one_that_was_dropped_is_noticed_and_healed(
    connecting: Connecting, server: TelegramServer, us: Person, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        server.say(ada, us, f"Number {number}")
    hidden = us.box.pop(42)  # before the account signs in: it reads what there is as soon as it has
    connection = await signed_in(connecting, server)
    async with connected(connection, server):
        await soon(lambda: _count(connection, 99))
    us.box[42] = hidden
    us.box = dict(sorted(us.box.items()))
    monkeypatch.setattr(telegram_chats, "_COMPARE_SECONDS", 0.1)
    connection = await connection.again()
    async with connected(connection, server):
        await soon(lambda: _count(connection, 100))


async def _count(connection: Connection, wanted: int) -> bool:
    return len(await connection.messages()) == wanted
