"""The API as connectors use it: small, typed by what it answers, with every refusal an error that names its code."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx

_log = logging.getLogger(__name__)

Json = dict[str, Any]

_SECONDS, _HELD_UP_SECONDS = 30.0, 0.5
#: Bodies stay far below what the API takes.
_LARGEST_BATCH, _LARGEST_BODY = 100, 900_000
#: Messages of a day that are compared; of more the newest.
_MOST_OF_A_DAY = 10_000
#: What the API answers to a message that it cannot take as it is.
_CANNOT_BE_TAKEN = (413, 422)
_IN_ITS_PLACE = "This message could not be taken in as it is. Read it where it came from."


class RefusedError(Exception):
    """The API said no; `code` is its problem's."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}: {detail}")

    @property
    def reason(self) -> str:
        """Why a send failed that needed what was refused: its file is gone, or the key may not read it."""
        return "files_not_allowed" if self.status == 403 else "file_gone"

    @property
    def is_lost_lease(self) -> bool:
        """Whether another connector holds the account."""
        return self.code in {"lease_lost", "account_held"}


@dataclass(frozen=True)
class Held:
    """An account that this connector holds."""

    id: UUID
    epoch: int


class Api:
    """One organization's API, by a key of its own."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.news_at: dict[UUID, str | None] = {}
        self._refused: dict[tuple[UUID, str], str] = {}
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_SECONDS, transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def accounts(self, channel: str) -> list[Json]:
        """All accounts of a channel that somebody may connect."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self._get("/v1/bd-accounts", {"channel": channel} | ({"cursor": cursor} if cursor else {}))
            found += [one for one in page["items"] if one["state"] not in {"banned", "revoked"}]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def lease(self, account_id: UUID, holder: str) -> Held:
        """Hold an account, or go on holding it."""
        answer = await self._post(f"/v1/bd-accounts/{account_id}/lease", {"holder": holder})
        return Held(account_id, answer["epoch"])

    async def release(self, held: Held) -> None:
        """Hold it no longer."""
        self._read(await self._http.delete(f"/v1/bd-accounts/{held.id}/lease/{held.epoch}"))

    async def connection(self, held: Held) -> Json:
        """The account, its secret, and how far it was read."""
        return await self._post(f"/v1/bd-accounts/{held.id}/connection", {"epoch": held.epoch})

    async def keep_cursor(self, held: Held, cursor: Json) -> None:
        """Say how far it was read."""
        await self._post(f"/v1/bd-accounts/{held.id}/cursor", {"epoch": held.epoch, "cursor": cursor})

    async def keep_secret(self, held: Held, **values: str | None) -> None:
        """Keep parts of its secret."""
        await self._post(f"/v1/bd-accounts/{held.id}/secret", {"values": values})

    async def report(self, held: Held, state: str, *, reason: str | None = None, seconds: int | None = None) -> None:
        """Say how the account is found; what it cannot become yet, it becomes later.

        One that was never connected is not limited: it says what it waits for.
        """
        body = {"state": state, "reason": reason, "seconds": seconds}
        try:
            await self._post(f"/v1/bd-accounts/{held.id}/state", body)
        except RefusedError as refused:
            if refused.code not in {"account_state_not_allowed", "account_still_waiting"}:
                raise
            if refused.code == "account_state_not_allowed" and state == "limited":
                await self.report(held, "connecting", reason=reason)

    async def take_in(self, held: Held, messages: Sequence[Json]) -> list[Json]:
        """Hand in messages in batches; answers what became of each.

        One that the API cannot take stops no other: less of it is handed in, and if that is refused as well, the ledger
        counts it as failed.
        """
        taken: list[Json] = []
        for batch in _batches(messages):
            taken += await self._take_in(held, batch)
        return taken

    async def _take_in(self, held: Held, batch: list[Json]) -> list[Json]:
        body = {"account_id": str(held.id), "epoch": held.epoch, "messages": batch}
        try:
            taken: list[Json] = (await self._post("/v1/messages/inbound", body))["messages"]
        except RefusedError as refused:
            if refused.status not in _CANNOT_BE_TAKEN:
                raise
            half = len(batch) // 2
            if half:
                return await self._take_in(held, batch[:half]) + await self._take_in(held, batch[half:])
            return await self._take_in_less(held, batch[0], refused)
        return taken

    async def _take_in_less(self, held: Held, message: Json, refused: RefusedError) -> list[Json]:
        """What is left of a message without its shape, else without its words."""
        _log.warning("account %s: a message was refused: %s", held.id, refused.code)
        for less in (_plain(message, refused.code), _bare(message, refused.code)):
            try:
                body = {"account_id": str(held.id), "epoch": held.epoch, "messages": [less]}
                taken: list[Json] = (await self._post("/v1/messages/inbound", body))["messages"]
            except RefusedError as again:
                if again.status not in _CANNOT_BE_TAKEN:
                    raise
            else:
                return taken
        self._refused[held.id, message["provider_id"]] = refused.code
        return []

    async def change(self, held: Held, changes: Sequence[Json]) -> Json:
        """Hand in what happened to known messages."""
        body = {"account_id": str(held.id), "epoch": held.epoch, "changes": list(changes)}
        return await self._post("/v1/messages/changes", body)

    async def claim(self, held: Held, *, limit: int = 10) -> list[Json]:
        """Take what is to be sent now. `news_at`: when the provider last said to the API that there is news."""
        body = {"account_id": str(held.id), "epoch": held.epoch, "limit": limit}
        answer = await self._post("/v1/sends/claim", body)
        self.news_at[held.id] = answer["news_at"]
        sends: list[Json] = answer["sends"]
        return sends

    async def turns(self, held: Held, *, limit: int = 10) -> AsyncIterator[list[Json]]:
        """What is to be sent, as soon as it is; every few seconds nothing."""
        was_due = False
        while True:
            jobs = await self.claim(held, limit=limit)
            yield jobs
            if jobs:
                was_due = False
            elif was_due:  # and not to be had: the account may send no more today
                await asyncio.sleep(_HELD_UP_SECONDS)
                was_due = False
            else:
                was_due = (await self._get("/v1/sends/due", {"account_id": str(held.id)}))["is_due"]

    async def told(self, held: Held, job: Json, state: str, **more: Any) -> None:  # noqa: ANN401 # fields of a result
        """Say what became of a send."""
        body = {"epoch": held.epoch, "state": state, **more}
        try:
            await self._post(f"/v1/sends/{job['send_id']}/result", body)
        except RefusedError as refused:
            if refused.code != "send_not_under_way":  # it was settled meanwhile
                raise

    async def files_of(self, job: Json) -> list[tuple[Json, bytes]]:
        """The files that go with a send, and what is in them.

        Raises:
            RefusedError: the key may read none, or one is gone.
        """
        found = []
        for file in job["files"]:
            answer = await self._http.get(f"/v1/files/{file['file_id']}/content")
            if answer.status_code >= 400:
                self._read(answer)
            found.append((file, answer.content))
        return found

    async def has_files(self, message_id: str) -> bool:
        """Whether files of a message are kept; also true where the service's key may not ask."""
        try:
            return bool((await self._get("/v1/files", {"message_id": message_id, "limit": 1}))["items"])
        except RefusedError:
            return True

    async def keep_files(self, message_id: str, files: Sequence[tuple[str, bytes]]) -> None:
        """Keep files beside the message that they came with, each once; whether that is allowed is logged."""
        about = {"message_id": message_id}
        try:
            kept = (await self._get("/v1/files", {**about, "limit": 100}))["items"]
        except RefusedError as refused:
            _log.warning("files of message %s are not kept: %s", message_id, refused)
            return
        known = {one["sha256"] for one in kept}
        for name, content in files:
            if sha256(content).hexdigest() in known:
                continue
            try:
                self._read(await self._http.post("/v1/files", data=about, files={"file": (name, content)}))
            except RefusedError as refused:  # too large, or harmful: the others are kept all the same
                _log.warning("a file of message %s is not kept: %s", message_id, refused)

    async def compare_day(self, held: Held, day: str, provider_ids: Sequence[str], **left_out: Json) -> list[str]:
        """All that the provider has of a day; answers what is missing here and can be handed in."""
        failed = Counter(why for name in provider_ids if (why := self._refused.get((held.id, name))))
        wanted = [name for name in provider_ids if (held.id, name) not in self._refused]
        filtered = dict(left_out.get("filtered", {}))
        if len(wanted) > _MOST_OF_A_DAY:
            filtered["too_many"] = len(wanted) - _MOST_OF_A_DAY
        body = {
            "epoch": held.epoch,
            "provider_ids": wanted[-_MOST_OF_A_DAY:],
            "filtered": filtered,
            "failed": {**left_out.get("failed", {}), **failed},
        }
        missing: list[str] = (await self._post(f"/v1/bd-accounts/{held.id}/days/{day}", body))["missing"]
        return missing

    async def _get(self, path: str, params: Json) -> Json:
        return self._read(await self._http.get(path, params=params))

    async def _post(self, path: str, body: Json) -> Json:
        return self._read(await self._http.post(path, json=body))

    def _read(self, answer: httpx.Response) -> Json:
        if answer.status_code < 400:
            found: Json = answer.json() if answer.content else {}
            return found
        if answer.headers.get("content-type") == "application/problem+json":
            problem = answer.json()
            raise RefusedError(answer.status_code, problem["code"], f"{problem['detail']} {problem.get('errors', '')}")
        raise RefusedError(answer.status_code, "no_problem", answer.text[:200])


async def wait_is_over(account: Json) -> None:
    """Wait until the instant that the provider named to whoever connected the account before."""
    if account["state"] == "flood_wait" and account["until"]:
        until = datetime.fromisoformat(account["until"])
        await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))


def _plain(message: Json, refused: str) -> Json:
    """A message with its words alone."""
    names = ("provider_id", "thread_key", "address", "direction", "kind", "sender", "subject", "text", "occurred_at")
    kept = {name: message[name] for name in names if name in message}
    return {**kept, "payload": {"refused": refused}}


def _bare(message: Json, refused: str) -> Json:
    """That there is a message, and what it is called."""
    address = " ".join(str(message["address"]).replace("\x00", " ").split())[:320] or "unknown"
    kept = {name: message[name] for name in ("provider_id", "direction", "occurred_at")}
    key = str(message["thread_key"])[:1000]
    return {**kept, "thread_key": key, "address": address, "text": _IN_ITS_PLACE, "payload": {"refused": refused}}


def _batches(messages: Sequence[Json]) -> Iterator[list[Json]]:
    """Few enough at once, and small enough together."""
    batch: list[Json] = []
    size = 0
    for message in messages:
        weight = sum(len(str(value)) for value in message.values())
        if batch and (len(batch) == _LARGEST_BATCH or size + weight > _LARGEST_BODY):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += weight
    if batch:
        yield batch
