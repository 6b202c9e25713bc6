"""The server of Telegram's protocol against a client that shares nothing with it: Kurigram has a TL and a crypto of its
own, where the connector and the server both stand on Telethon's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.channels.telegram_server import TelegramServer

pytestmark = pytest.mark.slow

PHONE = "+4930000001"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[TelegramServer]:
    running = await TelegramServer().start()
    yield running
    await running.mtproto.stop()


@pytest_asyncio.fixture
async def client(server: TelegramServer) -> AsyncIterator[Any]:
    """Kurigram, which takes our server for Telegram's: its address, and its key, are all that differs."""
    pyrogram = pytest.importorskip("pyrogram")  # here: it takes seconds to import
    connection = pytest.importorskip("pyrogram.connection").Connection
    rsa = pytest.importorskip("pyrogram.crypto.rsa")

    class Redirected(connection):  # type: ignore[misc, valid-type]  # known at run time only
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.server_address, self.port = "127.0.0.1", server.port

    numbers = server.mtproto._private.public_key().public_numbers()
    rsa.server_public_keys[server.mtproto._fingerprint] = rsa.PublicKey(numbers.n, numbers.e)
    made = pyrogram.Client("second", api_id=1, api_hash="hash", in_memory=True, connection_factory=Redirected)
    await made.connect()
    yield made
    await made.disconnect()


async def test_another_client_signs_in_writes_and_reads(server: TelegramServer, client: Any) -> None:
    errors = pytest.importorskip("pyrogram.errors")
    us = server.person(PHONE, "Us")
    ada = server.person("+4930000002", "Ada", username="ada")
    with pytest.raises(errors.PhoneNumberInvalid):
        await client.send_phone_number_code("+4930000009")
    sent = await client.send_phone_number_code(PHONE)
    with pytest.raises(errors.PhoneCodeInvalid):
        await client.sign_in(PHONE, sent.phone_code_hash, "99999")
    signed_in = await client.sign_in(PHONE, sent.phone_code_hash, server.code)
    assert signed_in.first_name == "Us"
    await client.send_message("ada", "Hello")
    server.say(ada, us, "Hello yourself")
    history = [message.text async for message in client.get_chat_history("ada")]
    assert history == ["Hello yourself", "Hello"]
    assert [one.message for _, one in sorted(ada.box.items())] == ["Hello", "Hello yourself"]
    many = await asyncio.gather(*(client.send_message("ada", f"Text {number}") for number in range(50)))
    assert len({message.id for message in many}) == 50
    assert len(ada.box) == 52
