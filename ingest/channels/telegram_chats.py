"""The chats of a Telegram account that is signed in: read from where each stopped, followed, and written into.

A message of ours has the random id that its send's id determines, so the server knows a repetition again: what a killed
connector may have sent is sent once. A flood wait is waited out to the second; PeerFlood stops what begins anything.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from telethon import errors, events, types, utils

from ingest.channels.api import Api, Held, Json, RefusedError
from ingest.channels.telegram_files import as_media, described, received, requests

_log = logging.getLogger(__name__)

_BATCH = 100
#: What is missing is noticed within a minute, the look at it included.
_COMPARE_SECONDS = 45.0
_COMPARED_DAYS = 3

#: The account is no more.
GONE = (errors.UserDeactivatedBanError, errors.PhoneNumberBannedError)


class Chats:
    """The chats of a client that is signed in."""

    def __init__(self, client: Any, api: Api, held: Held, found: Json) -> None:  # noqa: ANN401 # Telethon has no types
        self._client, self._api, self._held = client, api, held
        self._tops: dict[str, int] = found["cursor"].get("tops", {})
        #: The names of messages that there were, by day, of the days that are compared.
        self._seen: dict[str, list[str]] = found["cursor"].get("seen", {})
        self._edited_through = datetime.min.replace(tzinfo=UTC)
        self._days = int(found["account"]["settings"].get("history_days", 365))
        self._pending: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
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
            first = failed.exceptions[0]
            if isinstance(first, (errors.FloodWaitError, errors.UnauthorizedError, *GONE)):
                raise first from None
            raise OSError(f"Telegram: {first}") from None

    async def _until_disconnected(self) -> None:
        await self._client.disconnected
        raise ConnectionError("disconnected")

    # what there is

    async def catch_up(self) -> None:
        """Hand in what came since, chat by chat, oldest first, and keep the place after each batch."""
        async for dialog in self._client.iter_dialogs():
            key = str(dialog.id)
            if dialog.message is not None and dialog.message.id <= self._tops.get(key, 0):
                continue  # Telegram lets nobody ask of hundreds of chats at once
            batch: list[Any] = []
            async for message in self._since(dialog.entity, self._tops.get(key, 0)):
                batch.append(message)
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

    async def _keep(self, key: str, batch: list[Any], top: int) -> None:
        await self._take_in(batch)
        self._tops[key] = max(top, self._tops.get(key, 0))
        await self._keep_cursor()

    async def _keep_cursor(self) -> None:
        await self._api.keep_cursor(self._held, {"tops": self._tops, "seen": self._seen})

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
            if dialog.date is not None and dialog.date < since:
                continue
            async for message in self._client.iter_messages(dialog.entity):
                if message.date < since:
                    break
                if isinstance(message, types.Message):
                    by_day.setdefault(message.date.date().isoformat(), {})[_name(message)] = message
        await self._follow_up(by_day, since.date().isoformat())
        by_day.setdefault(today.isoformat(), {})  # a day without messages was looked at, too
        healed: list[str] = []
        for day, found in by_day.items():
            missing = await self._api.compare_day(self._held, day, list(found))
            if missing:
                _log.warning("account %s: %s messages of %s were missing", self._held.id, len(missing), day)
                await self._take_in([found[name] for name in missing])
                await self._api.compare_day(self._held, day, list(found))
            healed += missing
        return healed

    async def _follow_up(self, by_day: dict[str, dict[str, Any]], first_day: str) -> None:
        """Hand in what was edited and taken back while nobody was connected: Telegram tells only who is."""
        found = {name: message for messages in by_day.values() for name, message in messages.items()}
        edited = [one for one in found.values() if one.edit_date and one.edit_date > self._edited_through]
        missed = [name for day, names in self._seen.items() if day >= first_day for name in names if name not in found]
        now = datetime.now(UTC).isoformat()
        changes = [_edit(one) for one in edited]
        changes += [{"change": "removed", "provider_id": one, "at": now} for one in await self._taken_back(missed)]
        for start in range(0, len(changes), _BATCH):
            await self._api.change(self._held, changes[start : start + _BATCH])
        self._edited_through = max((one.edit_date for one in edited), default=self._edited_through)
        seen = {day: sorted(names) for day, names in by_day.items()}
        if seen != self._seen:
            self._seen = seen
            await self._keep_cursor()

    async def _taken_back(self, names: list[str]) -> list[str]:
        """Those of these messages that are no more."""
        gone: list[str] = []
        for start in range(0, len(names), _BATCH):
            by_chat: dict[str, list[str]] = {}
            for name in names[start : start + _BATCH]:
                by_chat.setdefault(name.rpartition(":")[0], []).append(name)
            for chat, some in by_chat.items():
                entity = await self._client.get_input_entity(int(chat)) if chat else None
                ids = [int(name.rpartition(":")[2]) for name in some]
                there = await self._client.get_messages(entity, ids=ids)
                gone += [name for name, message in zip(some, there, strict=True) if message is None]
        return gone

    # what happens

    def _follow(self) -> None:
        async def came(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            if isinstance(event.message, types.Message):
                await self._pending.put(("message", event.message))

        async def edited(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            await self._pending.put(("change", _edit(event.message)))

        async def deleted(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            chat = f"{event.chat_id}:" if event.chat_id else ""
            for number in event.deleted_ids:
                gone = {"change": "removed", "provider_id": f"{chat}{number}", "at": datetime.now(UTC).isoformat()}
                await self._pending.put(("change", gone))

        async def read(event: Any) -> None:  # noqa: ANN401 # Telethon has no types
            named = f"{event.chat_id}:{event.max_id}" if event.is_channel else str(event.max_id)
            seen = {"change": "read", "provider_id": named, "thread_key": str(event.chat_id)}
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
                await self._take_in(together)
            else:
                await self._api.change(self._held, together)

    def _peeked(self) -> str:
        waiting: Any = self._pending._queue  # type: ignore[attr-defined]  # nothing else looks without taking
        kind: str = waiting[0][0]
        return kind

    async def _take_in(self, messages: list[Any]) -> None:
        """Hand in messages, then the files that came with them: who dies in between hands them in again."""
        read = [await self._read(message) for message in messages]
        taken = {one["provider_id"]: one for one in await self._api.take_in(self._held, read)}
        for message in messages:
            one = taken.get(_name(message))
            if one is None or not message.file or (not one["is_new"] and await self._api.has_files(one["message_id"])):
                continue
            if files := await received(self._client, message):
                await self._api.keep_files(one["message_id"], files)

    async def _read(self, message: Any) -> Json:  # noqa: ANN401 # Telethon has no types
        """A message as the API takes it in."""
        chat, sender = await message.get_chat(), await message.get_sender()
        is_person = isinstance(chat, types.User)
        aliases = [f"@{chat.username}"] if getattr(chat, "username", None) else []
        aliases += [f"+{chat.phone.lstrip('+')}"] if getattr(chat, "phone", None) else []
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
            "attachments": described(message.file),
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
            first, *_ = [await self._ask(one) for one in await self._requests(job)]
            return {"state": "sent", **({"provider_id": first} if first else {})}
        except RefusedError as refused:
            return {"state": "failed", "reason": refused.reason}
        except errors.FloodWaitError as wait:
            await self._wait(wait.seconds)
            return {"state": "queued", "seconds": wait.seconds}
        except errors.PeerFloodError:
            await self._api.report(self._held, "limited", reason="peer_flood")
            return {"state": "failed", "reason": "peer_flood"}
        except errors.UserIsBlockedError:
            return {"state": "failed", "reason": "blocked"}
        except errors.RPCError as refused:
            return {"state": "failed", "reason": type(refused).__name__.removesuffix("Error").lower()[:60]}
        except ValueError:
            return {"state": "failed", "reason": "nobody_there"}

    async def _requests(self, job: Json) -> list[Any]:
        """What is asked of Telegram for a send."""
        peer = await self._client.get_input_entity(_peer(job))
        return await self._with_files(peer, job)

    async def _with_files(self, peer: Any, job: Json) -> list[Any]:  # noqa: ANN401 # Telethon has no types
        media = [await as_media(self._client, file, content) for file, content in await self._api.files_of(job)]
        ids = [random_id(job["send_id"], place) for place in range(len(media) + 1)]
        return requests(peer, job["text"], media, ids)

    async def _ask(self, request: Any) -> str | None:  # noqa: ANN401 # Telethon has no types
        """The number of what was sent; None where a connector before this one sent it: the chat says which it is."""
        try:
            number = _number(await self._client(request))
            return None if number is None else self._sent_name(request, number)
        except errors.RandomIdDuplicateError:
            return None

    def _sent_name(self, request: Any, number: str) -> str:  # noqa: ANN401 # Telethon has no types
        """What a message is known by that was just sent, as `_name` says it of those that are read."""
        is_channel = isinstance(request.peer, types.InputPeerChannel)
        return f"{utils.get_peer_id(request.peer)}:{number}" if is_channel else number

    async def _wait(self, seconds: int) -> None:
        """The account rests, and nothing is asked of Telegram for it, until the instant that Telegram named."""
        await self._api.report(self._held, "flood_wait", reason="flood_wait", seconds=seconds)
        self._rests_until = asyncio.get_running_loop().time() + seconds


def random_id(send_id: str, place: int = 0) -> int:
    """The id by which Telegram knows a send again, or one of the files that follow it."""
    number = int.from_bytes(UUID(send_id).bytes[8:], "big") + place
    return int.from_bytes((number % 2**64).to_bytes(8, "big"), "big", signed=True)


def _name(message: Any) -> str:  # noqa: ANN401 # Telethon has no types
    """What a message is known by in an account: numbers are an account's own but for channels, which have theirs."""
    return f"{message.chat_id}:{message.id}" if message.is_channel else str(message.id)


def _edit(message: Any) -> Json:  # noqa: ANN401 # Telethon has no types
    """A message as its writer changed it."""
    at = (message.edit_date or message.date).isoformat()
    change = {"change": "edited", "provider_id": _name(message), "text": message.message or "", "at": at}
    return change | {"payload": {"message": message.to_json()}}


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
        if isinstance(update, types.UpdateBotNewBusinessMessage):
            return str(update.message.id)
    return None
