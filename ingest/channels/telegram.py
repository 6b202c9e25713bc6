"""Telegram by Telethon: signs a person's account in, or a bot that people have connected to theirs, and keeps it."""

import asyncio
from typing import Any

from telethon import TelegramClient, errors
from telethon.sessions import StringSession

from contracts.settings import ChannelSettings
from ingest.channels.api import Api, Held, wait_is_over
from ingest.channels.telegram_business import Business, sign_in_bot
from ingest.channels.telegram_chats import GONE, Chats
from ingest.channels.telegram_sign_in import sign_in


async def connect(api: Api, held: Held, settings: ChannelSettings | None = None) -> None:
    """Keep an account connected until cancelled.

    Raises:
        RefusedError: the API refuses; the account may be another connector's.
        OSError: Telegram does not answer, or does not know the session any more.
    """
    found = await api.connection(held)
    await wait_is_over(found["account"])
    client = _client(settings or ChannelSettings(), found["secret"].get("session", ""))
    try:
        await client.connect()
        is_bot = bool(found["account"]["settings"].get("business_bot"))
        if not await client.is_user_authorized():
            await (sign_in_bot if is_bot else sign_in)(client, api, held, found)
        await api.report(held, "active")
        await (Business if is_bot else Chats)(client, api, held, found).keep()
    except GONE:
        await api.report(held, "banned", reason="account_banned")
        raise OSError("Telegram has closed the account") from None
    except (errors.AuthKeyError, errors.UnauthorizedError):
        await api.report(held, "revoked", reason="session_ended")
        raise OSError("Telegram has ended the session") from None
    except errors.FloodWaitError as wait:
        # nothing is asked of Telegram meanwhile; whoever holds the account next sees until when
        await api.report(held, "flood_wait", reason="flood_wait", seconds=wait.seconds)
        await client.disconnect()
        await asyncio.sleep(wait.seconds)
    finally:
        await client.disconnect()


def _client(settings: ChannelSettings, session: str) -> Any:  # noqa: ANN401 # Telethon has no types
    if settings.telegram_api_id is None or settings.telegram_api_hash is None:
        raise OSError("SLUICE_TELEGRAM_API_ID and SLUICE_TELEGRAM_API_HASH are not set")
    kept = StringSession(session)
    if settings.telegram_data_centre is not None and not session:
        number, host, port = settings.telegram_data_centre.split(":")
        kept.set_dc(int(number), host, int(port))
    return TelegramClient(
        kept,
        settings.telegram_api_id,
        settings.telegram_api_hash.get_secret_value(),
        request_retries=1,
        raise_last_call_error=True,
        flood_sleep_threshold=0,  # waits are the account's, and people are told of them
        device_model="Sluice",
    )
