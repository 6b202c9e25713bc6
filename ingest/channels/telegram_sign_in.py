"""Signing in to Telegram: a person gives the code, and the password where there is one, as parts of the secret.

The account says what it waits for: `code_needed`, `code_wrong`, `password_needed`, `password_wrong`. What was given is
taken away once it was used; what stays is the session.
"""

import asyncio
from typing import Any

from telethon import errors

from ingest.channels.api import Api, Held, Json

_LOOK_SECONDS = 1.0
#: A code is good for a few minutes.
_PATIENCE_SECONDS = 600


async def sign_in(client: Any, api: Api, held: Held, found: Json) -> None:  # noqa: ANN401 # Telethon has no types
    """Sign a client in, and keep its session.

    Raises:
        OSError: nobody gave what is needed, or Telegram does not know the number.
    """
    phone = found["account"]["address"]
    try:
        sent = await client.send_code_request(phone)
    except errors.FloodWaitError as wait:
        await api.report(held, "connecting", reason="flood_wait")
        await asyncio.sleep(wait.seconds)
        raise OSError("Telegram asked to wait before it sends a code") from None
    except errors.PhoneNumberInvalidError:
        await api.report(held, "connecting", reason="phone_unknown")
        raise OSError("Telegram does not know this number") from None
    await api.keep_secret(held, code=None, password=None)
    await api.report(held, "connecting", reason="code_needed")
    await _by_code(client, api, held, phone, sent.phone_code_hash)
    await api.keep_secret(held, session=client.session.save(), code=None, password=None)


async def _by_code(client: Any, api: Api, held: Held, phone: str, code_hash: str) -> None:  # noqa: ANN401 # no types
    while True:
        code = await _given(api, held, "code")
        try:
            await client.sign_in(phone, code, phone_code_hash=code_hash)
        except errors.PhoneCodeInvalidError:
            await api.keep_secret(held, code=None)
            await api.report(held, "connecting", reason="code_wrong")
        except errors.SessionPasswordNeededError:
            await _by_password(client, api, held)
            return
        else:
            return


async def _by_password(client: Any, api: Api, held: Held) -> None:  # noqa: ANN401 # Telethon has no types
    await api.report(held, "connecting", reason="password_needed")
    while True:
        password = await _given(api, held, "password")
        try:
            await client.sign_in(password=password)
        except errors.PasswordHashInvalidError:
            await api.keep_secret(held, password=None)
            await api.report(held, "connecting", reason="password_wrong")
        else:
            return


async def _given(api: Api, held: Held, name: str) -> str:
    """A part of the secret, once somebody has given it."""
    for _ in range(int(_PATIENCE_SECONDS / _LOOK_SECONDS)):
        secret: dict[str, str] = (await api.connection(held))["secret"]
        if name in secret:
            return secret[name]
        await asyncio.sleep(_LOOK_SECONDS)
    raise OSError(f"nobody gave the {name}")
