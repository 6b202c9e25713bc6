"""Telegram by Telethon: signs in, reads each chat from where it stopped, follows what happens, sends.

A message of ours has the random id that its send's id determines, so the server knows a repetition again: what a killed
connector may have sent is sent once. A flood wait is waited out to the second; PeerFlood stops what begins anything.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from telethon import TelegramClient, errors, events, functions, types, utils
from telethon.sessions import StringSession

from contracts.settings import ChannelSettings
from ingest.channels.api import Api, Held, Json
from ingest.channels.telegram_sign_in import sign_in

_log = logging.getLogger(__name__)

_BATCH = 100
_COMPARE_SECONDS = 60.0
_COMPARED_DAYS = 3

_GONE = (errors.UserDeactivatedBanError, errors.PhoneNumberBannedError)


async def connect(api: Api, held: Held, settings: ChannelSettings | None = None) -> None:
    """Keep an account connected until cancelled.

    Raises:
        RefusedError: the API refuses; the account may be another connector's.
        OSError: Telegram does not answer, or does not know the session any more.
    """
    found = await api.connection(held)
    client = _client(settings or ChannelSettings(), found["secret"].get("session", ""))
    try:
        await client.connect()
        if not await client.is_user_authorized():
            await sign_in(client, api, held, found)
        await api.report(held, "active")
        await _Chats(client, api, held, found).keep()
    except _GONE:
        await api.report(held, "banned", reason="account_banned")
        raise OSError("Telegram has closed the account") from None
    except (errors.AuthKeyError, errors.UnauthorizedError):
        await api.report(held, "revoked", reason="session_ended")
        raise OSError("Telegram has ended the session") from None
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


class _Chats:
    """The chats of a client that is signed in."""

    def __init__(self, client: Any, api: Api, held: Held, found: Json) -> None:  # noqa: ANN401 # Telethon has no types
        self._client, self._api, self._held = client, api, held
        self._tops: dict[str, int] = found["cursor"].get("tops", {})
        self._days = int(found["account"]["settings"].get("history_days", 365))
        self._pending: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._rests_until: float | None = None

    async def keep(self) -> None:
        """Read what was missed, then follow and send, until cancelled or disconnected."""
        self._follow()
        try:
            await self.catch_up()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_handing_in())
                group.create_task(self._keep_sending())
                group.create_task(self._keep_comparing())
                group.create_task(self._until_disconnected())
        except* (ConnectionError, errors.RPCError) as failed:
            raise OSError(f"Telegram: {failed.exceptions[0]}") from None

    async def _until_disconnected(self) -> None:
        await self._client.disconnected
        raise ConnectionError("disconnected")

    # what there is

    async def catch_up(self) -> None:
        """Hand in what came since, chat by chat, oldest first, and keep the place after each batch."""
        async for dialog in self._client.iter_dialogs():
            key = str(dialog.id)
            batch: list[Json] = []
            async for message in self._since(dialog.entity, self._tops.get(key, 0)):
                batch.append(await self._read(message))
                if len(batch) == _BATCH:
                    await self._keep(key, batch, message.id)
                    batch = []
            if batch:
                await self._keep(key, batch, message.id)

    async def _since(self, chat: Any, top: int) -> AsyncIterator[Any]:  # noqa: ANN401 # Telethon has no types
        since = datetime.now(UTC) - timedelta(days=self._days)
        async for message in self._client.iter_messages(chat, reverse=True, min_id=top):
            if isinstance(message, types.Message) and message.date >= since:
                yield message

    async def _keep(self, key: str, batch: list[Json], top: int) -> None:
        await self._api.take_in(self._held, batch)
        self._tops[key] = max(top, self._tops.get(key, 0))
        await self._api.keep_cursor(self._held, {"tops": self._tops})

    async def _keep_comparing(self) -> None:
        while True:
            await asyncio.sleep(_COMPARE_SECONDS)
            await self.compare()

    async def compare(self) -> list[str]:
        """Compare the last days with what is stored, and hand in what is missing; answers what was."""
        today = datetime.now(UTC).date()
        since = datetime.combine(today - timedelta(days=_COMPARED_DAYS - 1), datetime.min.time(), UTC)
        by_day: dict[str, dict[str, Any]] = {}
        async for dialog in self._client.iter_dialogs():
            async for message in self._client.iter_messages(dialog.entity):
                if message.date < since:
                    break
                if isinstance(message, types.Message):
                    by_day.setdefault(message.date.date().isoformat(), {})[_name(message)] = message
        healed: list[str] = []
        for day, found in by_day.items():
            missing = await self._api.compare_day(self._held, day, list(found))
            if missing:
                _log.warning("account %s: %s messages of %s were missing", self._held.id, len(missing), day)
                await self._api.take_in(self._held, [await self._read(found[name]) for name in missing])
                await self._api.compare_day(self._held, day, list(found))
            healed += missing
        return healed

    # what happens

    def _follow(self) -> None:
        async def came(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            if isinstance(event.message, types.Message):
                await self._pending.put(("message", await self._read(event.message)))

        async def edited(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            message = event.message
            at = (message.edit_date or message.date).isoformat()
            change = {"change": "edited", "provider_id": _name(message), "text": message.message or "", "at": at}
            await self._pending.put(("change", change | {"payload": {"message": message.to_json()}}))

        async def deleted(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            chat = f"{event.chat_id}:" if event.chat_id else ""
            for number in event.deleted_ids:
                gone = {"change": "removed", "provider_id": f"{chat}{number}", "at": datetime.now(UTC).isoformat()}
                await self._pending.put(("change", gone))

        async def read(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            seen = {"change": "read", "provider_id": str(event.max_id), "thread_key": str(event.chat_id)}
            await self._pending.put(("change", seen | {"at": datetime.now(UTC).isoformat()}))

        self._client.add_event_handler(came, events.NewMessage())
        self._client.add_event_handler(edited, events.MessageEdited())
        self._client.add_event_handler(deleted, events.MessageDeleted())
        self._client.add_event_handler(read, events.MessageRead(inbox=False))

    async def _keep_handing_in(self) -> None:
        """What came and what changed, in order; what is lost with us is read again by `catch_up` and `compare`."""
        while True:
            kind, one = await self._pending.get()
            together = [one]
            while not self._pending.empty() and len(together) < _BATCH and self._peeked() == kind:
                together.append(self._pending.get_nowait()[1])
            if kind == "message":
                await self._api.take_in(self._held, together)
            else:
                await self._api.change(self._held, together)

    def _peeked(self) -> str:
        waiting: Any = self._pending._queue  # type: ignore[attr-defined]  # nothing else looks without taking
        kind: str = waiting[0][0]
        return kind

    async def _read(self, message: Any) -> Json:  # noqa: ANN401 # Telethon has no types
        """A message as the API takes it in."""
        chat, sender = await message.get_chat(), await message.get_sender()
        is_person = isinstance(chat, types.User)
        aliases = [f"@{chat.username}"] if getattr(chat, "username", None) else []
        aliases += [f"+{chat.phone.lstrip('+')}"] if getattr(chat, "phone", None) else []
        file = message.file
        return {
            "provider_id": _name(message),
            "thread_key": str(message.chat_id),
            "aliases": aliases,
            "address": aliases[-1] if is_person and aliases else str(message.chat_id),
            "direction": "out" if message.out else "in",
            "sender": utils.get_display_name(sender)[:640] or None if sender else None,
            "subject": None if is_person else utils.get_display_name(chat)[:1000] or None,
            "text": message.message or "",
            "occurred_at": message.date.isoformat(),
            "attachments": [
                {"name": (file.name or "file")[:300], "type": file.mime_type or "unknown", "size": file.size or 0}
            ]
            if file
            else [],
            "payload": {"message": message.to_json()},
        }

    # what is to be sent

    async def _keep_sending(self) -> None:
        clock = asyncio.get_running_loop().time
        async for jobs in self._api.turns(self._held):
            if self._rests_until is not None and clock() > self._rests_until:
                self._rests_until = None
                await self._api.report(self._held, "active")
            for job in jobs:
                rest = 0 if self._rests_until is None else max(1, int(self._rests_until - clock()) + 1)
                outcome = {"state": "queued", "seconds": rest} if rest else await self.deliver(job)
                await self._api.told(self._held, job, **outcome)

    async def deliver(self, job: Json) -> Json:
        """Give a message to Telegram; what became of it, as `Api.told` takes it."""
        try:
            peer = await self._client.get_input_entity(_peer(job))
            request = functions.messages.SendMessageRequest(peer, job["text"], random_id=random_id(job["send_id"]))
            return {"state": "sent", "provider_id": _number(await self._client(request))}
        except errors.RandomIdDuplicateError:
            return {"state": "sent"}  # by a connector before this one; the chat says under which number
        except errors.FloodWaitError as wait:
            await self._wait(wait.seconds)
            return {"state": "queued", "seconds": wait.seconds}
        except errors.PeerFloodError:
            await self._api.report(self._held, "limited", reason="peer_flood")
            return {"state": "failed", "reason": "peer_flood"}
        except errors.RPCError as refused:
            return {"state": "failed", "reason": type(refused).__name__.removesuffix("Error").lower()[:60]}
        except ValueError:
            return {"state": "failed", "reason": "nobody_there"}

    async def _wait(self, seconds: int) -> None:
        """The account rests, and nothing is asked of Telegram for it, until the instant that Telegram named."""
        await self._api.report(self._held, "flood_wait", reason="flood_wait", seconds=seconds)
        self._rests_until = asyncio.get_running_loop().time() + seconds


def random_id(send_id: str) -> int:
    """The id by which Telegram knows a send again."""
    return int.from_bytes(UUID(send_id).bytes[8:], "big", signed=True)


def _name(message: Any) -> str:  # noqa: ANN401 # Telethon has no types
    """What a message is known by in an account: numbers are an account's own but for channels, which have theirs."""
    return f"{message.chat_id}:{message.id}" if message.is_channel else str(message.id)


def _peer(job: Json) -> Any:  # noqa: ANN401 # as Telethon takes it
    key: str = job["thread_key"]
    return int(key) if key.lstrip("-").isdigit() else job["address"]


def _number(answer: Any) -> str | None:  # noqa: ANN401 # Telethon has no types
    """The number that Telegram gave to what was sent."""
    if isinstance(answer, types.UpdateShortSentMessage):
        return str(answer.id)
    for update in getattr(answer, "updates", ()):
        if isinstance(update, types.UpdateMessageID):
            return str(update.id)
    return None
