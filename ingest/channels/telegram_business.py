"""Telegram by a bot that people have connected to their own accounts (Telegram Business): no session of theirs is held.

Each person who connects it is a connection, whose customers' messages come as updates. A bot may list no chats, so what
it missed is asked for by the number of the last update that was handed in, which Telegram keeps for a day; a day cannot
be compared with what is stored. A bot answers; it begins nothing.
"""

from datetime import UTC, datetime
from typing import Any

from telethon import errors, events, functions, types, utils

from ingest.channels.api import Api, Held, Json
from ingest.channels.telegram_chats import Chats
from ingest.channels.telegram_files import described, received

_KINDS = (
    types.UpdateBotBusinessConnect,
    types.UpdateBotNewBusinessMessage,
    types.UpdateBotEditBusinessMessage,
    types.UpdateBotDeleteBusinessMessage,
)


async def sign_in_bot(client: Any, api: Api, held: Held, found: Json) -> None:  # noqa: ANN401 # Telethon has no types
    """Sign a bot in by its token, and keep its session and from where on its updates are read.

    Raises:
        OSError: there is none, or Telegram does not take it.
    """
    try:
        await client.sign_in(bot_token=found["secret"]["bot_token"])
    except KeyError:
        await api.report(held, "connecting", reason="token_needed")
        raise OSError("nobody gave the bot's token") from None
    except (errors.AccessTokenInvalidError, errors.AccessTokenExpiredError):
        await api.report(held, "limited", reason="sign_in_refused")
        raise OSError("Telegram does not take the bot's token") from None
    await api.keep_secret(held, session=client.session.save())
    if "state" not in found["cursor"]:
        now = await client(functions.updates.GetStateRequest())
        found["cursor"]["state"] = {"pts": now.pts, "qts": now.qts, "date": int(now.date.timestamp())}
        await api.keep_cursor(held, found["cursor"])


class Business(Chats):
    """What customers of those write who have connected the bot."""

    def __init__(self, client: Any, api: Api, held: Held, found: Json) -> None:  # noqa: ANN401 # Telethon has no types
        super().__init__(client, api, held, found)
        #: Who connected the bot, by the connection.
        self._owners: dict[str, int] = found["cursor"].get("owners", {})
        self._state: dict[str, int] = found["cursor"]["state"]

    async def catch_up(self) -> None:
        """Hand in what came since the last update that was."""
        while True:
            since = datetime.fromtimestamp(self._state["date"], UTC)
            asked = functions.updates.GetDifferenceRequest(self._state["pts"], since, self._state["qts"])
            missed = await self._client(asked)
            people = {utils.get_peer_id(one): one for one in getattr(missed, "users", ())}
            for update in getattr(missed, "other_updates", ()):
                await self._hand_in(update, people)
            if not isinstance(missed, types.updates.DifferenceSlice):
                return

    async def compare(self) -> list[str]:
        """Nothing: a bot may list no chats."""
        return []

    async def _keep_cursor(self) -> None:
        await self._api.keep_cursor(self._held, {"owners": self._owners, "state": self._state})

    def _follow(self) -> None:
        async def came(update: Any) -> None:  # noqa: ANN401 # Telethon has no types
            await self._pending.put(("update", update))

        self._client.add_event_handler(came, events.Raw(_KINDS))

    async def _keep_handing_in(self) -> None:
        while True:
            _, update = await self._pending.get()
            await self._hand_in(update, getattr(update, "_entities", None) or {})

    async def _hand_in(self, update: Any, people: dict[int, Any]) -> None:  # noqa: ANN401 # Telethon has no types
        """Hand in what an update says, and only then count it as read."""
        if isinstance(update, types.UpdateBotBusinessConnect):
            self._owners[update.connection.connection_id] = update.connection.user_id
        elif isinstance(update, types.UpdateBotNewBusinessMessage):
            taken = await self._api.take_in(self._held, [self._message(update, people)])
            if taken and (files := await received(self._client, update.message)):
                await self._api.keep_files(taken[0]["message_id"], files)
        elif isinstance(update, _KINDS):
            await self._api.change(self._held, _changes(update))
        else:
            return
        self._state["qts"] = max(update.qts, self._state["qts"])
        await self._keep_cursor()

    def _message(self, update: Any, people: dict[int, Any]) -> Json:  # noqa: ANN401 # Telethon has no types
        connection, message = update.connection_id, update.message
        customer = utils.get_peer_id(message.peer_id)
        sender = utils.get_peer_id(message.from_id) if message.from_id else customer
        known, writer = people.get(customer), people.get(sender)
        handle = f"@{known.username}" if known is not None and known.username else None
        return {
            "provider_id": f"{connection}:{message.id}",
            "thread_key": f"{connection}:{customer}",
            "address": handle or str(customer),
            "direction": "out" if message.out or sender == self._owners.get(connection) else "in",
            "sender": utils.get_display_name(writer)[:640] or None if writer is not None else None,
            "text": message.message or "",
            "occurred_at": message.date.isoformat(),
            "attachments": described(message.file),
            "payload": {"message": message.to_json()},
        }

    async def _requests(self, job: Json) -> list[Any]:
        """An answer goes in the name of whoever connected the bot."""
        connection, customer = _parts(job)
        try:
            peer = await self._client.get_input_entity(customer)
        except ValueError:  # not met since the connector began: a bot may name by id whoever wrote to it
            peer = types.InputPeerUser(customer, 0)
        asked = await self._with_files(peer, job)
        return [functions.InvokeWithBusinessConnectionRequest(connection, one) for one in asked]

    def _sent_name(self, request: Any, number: str) -> str:  # noqa: ANN401 # Telethon has no types
        return f"{request.connection_id}:{number}"


def _parts(job: Json) -> tuple[str, int]:
    """The connection and the customer of a conversation.

    Raises:
        ValueError: it is none that a customer began.
    """
    connection, _, customer = str(job["thread_key"]).rpartition(":")
    if not connection:
        raise ValueError(f"{job['thread_key']} is no conversation of a customer")
    return connection, int(customer)


def _changes(update: Any) -> list[Json]:  # noqa: ANN401 # Telethon has no types
    if isinstance(update, types.UpdateBotDeleteBusinessMessage):
        now = datetime.now(UTC).isoformat()
        names = (f"{update.connection_id}:{number}" for number in update.messages)
        return [{"change": "removed", "provider_id": name, "at": now} for name in names]
    message = update.message
    at = (message.edit_date or message.date).isoformat()
    name = f"{update.connection_id}:{message.id}"
    return [{"change": "edited", "provider_id": name, "text": message.message or "", "at": at}]
