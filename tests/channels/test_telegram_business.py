"""A bot that somebody connected to their account: it reads what their customers write, and answers in their name."""

from typing import Any

import pytest_asyncio
from telethon import functions, types

from ingest.channels.telegram_chats import Chats, random_id
from tests.channels.conftest import Connecting, Connection, soon
from tests.channels.telegram_people import Person
from tests.channels.telegram_server import TelegramServer
from tests.channels.test_telegram import connected, is_active, server

__all__ = ["server"]


@pytest_asyncio.fixture
async def bot(server: TelegramServer) -> Person:  # the fixture above
    return server.bot("7:CANARY-token", "Helper")


async def test_customers_are_read_answered_and_missed_by_nobody(
    connecting: Connecting, server: TelegramServer, bot: Person
) -> None:
    boss, ada = server.person("+4930000001", "Boss"), server.person("+4930000002", "Ada", username="ada")
    secret = {"bot_token": "7:CANARY-token"}
    connection: Connection = await connecting("telegram", "@helper", secret=secret, business_bot=True)

    async def texts(count: int) -> list[dict[str, Any]]:
        found = await connection.messages()
        return found if len(found) == count else []

    async with connected(connection, server):
        await is_active(connection)
        link = server.connect_bot(bot, boss)
        update = server.say_in_business(link, ada, "Hello")
        [theirs] = await soon(lambda: texts(1))
        assert (theirs["direction"], theirs["sender"], theirs["text"]) == ("in", "Ada", "Hello")
        path = f"/v1/conversations/{theirs['conversation_id']}"
        assert (await connection.owner.get(path)).json()["address"] == "@ada"
        await connection.owner.made(f"{path}/messages", {"text": "Yes?"})
        await soon(lambda: connection.messages(state="sent"))
        server.say_in_business(link, ada, "From the phone", by_owner=True)
        await soon(lambda: texts(3))
        update.message.message = "Hello there"
        server._tell(bot, lambda qts: types.UpdateBotEditBusinessMessage(link, update.message, qts))

        async def edited() -> bool:
            return any(one["text"] == "Hello there" for one in await connection.messages())

        await soon(edited)
        body = {"account_id": str(connection.held.id), "address": "@stranger", "text": "Buy this"}
        await connection.owner.made("/v1/conversations", body)
        [failed] = await soon(lambda: connection.messages(state="failed"))
        assert failed["failure"] == "nobody_there"
    server.say_in_business(link, ada, "Missed")
    connection = await connection.again()
    async with connected(connection, server):
        found = await soon(lambda: texts(5))
    directions = {one["text"]: one["direction"] for one in found}
    assert directions == {
        "Hello there": "in", "Yes?": "out", "From the phone": "out", "Buy this": "out", "Missed": "in",
    }  # fmt: skip
    assert [one.message for one in ada.box.values() if not one.out] == ["Yes?", "From the phone"]
    dialogs = functions.messages.GetDialogsRequest
    assert not any(isinstance(call, dialogs) for call in server.calls), "a bot may not"


async def test_a_token_that_is_no_good_is_said(connecting: Connecting, server: TelegramServer, bot: Person) -> None:
    assert bot.token != "wrong"
    secret = {"bot_token": "wrong"}
    connection: Connection = await connecting("telegram", "@helper", secret=secret, business_bot=True)
    async with connected(connection, server):

        async def refused() -> bool:
            return bool((await connection.account())["reason"] == "sign_in_refused")

        await soon(refused)


def test_c1_a_send_has_the_same_random_ids_whichever_connector_asks() -> None:
    one, other = "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "0192f0c1-2a3b-7c4d-ffff-ffffffffffff"
    assert [random_id(one, place) for place in (0, 1, 0, 1)] == [
        -8187814485713662369, -8187814485713662368, -8187814485713662369, -8187814485713662368,
    ]  # fmt: skip
    assert (random_id(other), random_id(other, 1)) == (-1, 0)


def test_what_is_sent_is_known_by_the_name_under_which_it_is_read() -> None:
    def name(peer: Any) -> str:
        return Chats._sent_name(None, functions.messages.SendMessageRequest(peer, "x"), "5")  # type: ignore[arg-type]

    assert name(types.InputPeerUser(7, 0)) == name(types.InputPeerChat(7)) == "5"
    assert name(types.InputPeerChannel(7, 0)) == "-1000000000007:5"
