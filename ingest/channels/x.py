"""X by its v2 API: direct messages of the last 30 days, asked for again and again, and sent.

`/2/dm_events` lists the newest first, of all conversations. What is new is handed in oldest first, and only then is the
place kept. Each look reaches back over the last days as well, which are compared with what is stored. X allows few, so
there is one each minute, and one soon after X said to the API's webhook that there is news. X shows a repeated message
twice, so what nobody confirmed is `unknown`; when it is seen, it is known to be sent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from urllib.parse import quote

import httpx

from contracts.settings import ChannelSettings
from ingest.channels import x_files
from ingest.channels.api import Api, Held, Json, RefusedError, wait_is_over

_log = logging.getLogger(__name__)

_SECONDS = 30.0
#: X lets an account ask fifteen times in a quarter of an hour unless its plan says more.
_LOOK_SECONDS = 60.0
#: However much X tells of, looks are no closer than this.
_LEAST_SECONDS = 5.0
_COMPARED_DAYS = 3
_EVENTS = {
    "event_types": "MessageCreate",
    "max_results": 100,
    "dm_event.fields": "id,text,event_type,created_at,dm_conversation_id,attachments",
    "expansions": "sender_id,participant_ids,attachments.media_keys",
    "media.fields": "media_key,type,url,preview_image_url,variants",
    "user.fields": "name,username",
}
_TOO_OFTEN, _SIGNED_OUT = 429, 401


def _first_day() -> str:
    return (datetime.now(UTC) - timedelta(days=_COMPARED_DAYS - 1)).date().isoformat()


class FloodError(OSError):
    """X wants to be left alone for some seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"X asks to wait for {seconds} s")


class OddAnswerError(OSError):
    """X says something that is no answer."""


class SignedOutError(OSError):
    """X does not take the token, nor gives a fresh one."""


async def connect(api: Api, held: Held) -> None:
    """Keep an account connected until cancelled.

    Raises:
        RefusedError: the API refuses; the account may be another connector's.
        OSError: X does not answer, or knows neither token.
    """
    found = await api.connection(held)
    await wait_is_over(found["account"])
    client = XClient(api, held, found)
    try:
        messages = await Messages.of(client, api, held, found)
        await api.report(held, "active")
        await messages.keep()
    except SignedOutError:
        await api.report(held, "limited", reason="sign_in_refused")
        raise
    except FloodError as flood:
        await api.report(held, "flood_wait", reason="flood_wait", seconds=flood.seconds)
        await asyncio.sleep(flood.seconds)
        await api.report(held, "active")
    except httpx.HTTPError as error:
        raise OSError(f"X: {error}") from None
    finally:
        await client.close()


class XClient:
    """X's API with the account's token, renewed once where X wants a fresh one."""

    def __init__(self, api: Api, held: Held, found: Json) -> None:
        self._api, self._held, self._secret = api, held, dict(found["secret"])
        # not of the settings of the account, which its people write: it gets the token, and stands in our network
        self._http = httpx.AsyncClient(base_url=ChannelSettings().x_api_url, timeout=_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 # httpx's own
        """An answer, whatever it says but that it is too early or the token too old.

        Raises:
            FloodError, SignedOutError: as they say.
        """
        answer = await self._send(method, path, **request)
        if answer.status_code == _SIGNED_OUT:
            await self._renew()
            answer = await self._send(method, path, **request)
        if answer.status_code == _SIGNED_OUT:
            raise SignedOutError("X does not take the token")
        if answer.status_code == _TOO_OFTEN:
            reset = answer.headers.get("x-rate-limit-reset", "")
            raise FloodError(max(1, int(reset) - int(time()) + 1) if reset.isdigit() else 60)
        return answer

    async def read(self, path: str, params: Json | None = None) -> Json:
        """What there is to read."""
        answer = await self.ask("GET", path, params=params)
        try:
            found = answer.raise_for_status().json()
        except ValueError:
            raise OddAnswerError("X answers what is no JSON") from None
        if not isinstance(found, dict):
            raise OddAnswerError("X answers another kind of JSON")
        return found

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 # httpx's own
        headers = {"Authorization": f"Bearer {self._secret.get('access_token', '')}"}
        return await self._http.request(method, path, headers=headers, **request)

    async def _renew(self) -> None:
        """A fresh token (OAuth 2.0); X has forgotten the old one for renewing by then, so both are kept at once."""
        refresh, client = self._secret.get("refresh_token"), self._secret.get("client_id")
        if not refresh or not client:
            raise SignedOutError("X does not take the token, and there is none to renew it by")
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client}
        answer = await self._http.post("/2/oauth2/token", data=form)
        if answer.status_code >= 400:
            raise SignedOutError("X gives no fresh token")
        given = answer.json()
        fresh = {name: given[name] for name in ("access_token", "refresh_token") if name in given}
        await self._api.keep_secret(self._held, **fresh)
        self._secret |= fresh


class Messages:
    """The direct messages of an account that is signed in."""

    def __init__(self, client: XClient, api: Api, held: Held, found: Json, *, our_id: str) -> None:
        self._client, self._api, self._held, self._our_id = client, api, held, our_id
        self._newest = int(found["cursor"].get("newest", 0))
        self._look_seconds = float(found["account"]["settings"].get("look_seconds", _LOOK_SECONDS))
        self._users: dict[str, Json] = {}
        self._media: dict[str, Json] = {}
        #: Events of the last look that lack what makes them one.
        self._odd = 0
        self._news = asyncio.Event()

    @classmethod
    async def of(cls, client: XClient, api: Api, held: Held, found: Json) -> "Messages":
        """Ask X whose token this is."""
        ours = await client.read("/2/users/me")
        return cls(client, api, held, found, our_id=ours["data"]["id"])

    async def keep(self) -> None:
        """Read, compare and send until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_reading())
                group.create_task(self._keep_sending())
        except* (OSError, httpx.HTTPError) as errors:
            raise errors.exceptions[0] from None

    async def _keep_reading(self) -> None:
        while True:
            self._news.clear()
            await self.look()
            await asyncio.sleep(min(_LEAST_SECONDS, self._look_seconds))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds - _LEAST_SECONDS):
                    await self._news.wait()

    async def look(self) -> list[str]:
        """Hand in what is new, and what is missing of the last days; answers what was missing."""
        first = _first_day()
        found = [event async for event in self._since(lambda one: self._is_new(one) or one["created_at"][:10] >= first)]
        await self._hand_in([event for event in found if self._is_new(event)])
        return await self._compare([event for event in found if event["created_at"][:10] >= first])

    async def read(self) -> None:
        """Hand in what is new, oldest first; what is handed in twice is taken in once."""
        await self._hand_in([event async for event in self._since(self._is_new)])

    async def compare(self) -> list[str]:
        """Compare the last days with what is stored, and hand in what is missing; answers what was."""
        first = _first_day()
        return await self._compare([event async for event in self._since(lambda one: one["created_at"][:10] >= first)])

    def _is_new(self, event: Json) -> bool:
        return int(event["id"]) > self._newest

    async def _hand_in(self, new: list[Json]) -> None:
        if new:
            await self._take_in(new[::-1])
            self._newest = int(new[0]["id"])
            await self._api.keep_cursor(self._held, {"newest": str(self._newest)})

    async def _take_in(self, events: list[Json]) -> None:
        """Hand in events, then the files that came with them: who dies in between hands them in again."""
        answer = await self._api.take_in(self._held, [self._read(event) for event in events])
        taken = {one["provider_id"]: one for one in answer}
        for event in events:
            one = taken.get(event["id"])
            if one is None or not x_files.keys_of(event):
                continue
            if not one["is_new"] and await self._api.has_files(one["message_id"]):
                continue
            if files := await x_files.received(self._client, event, self._media):
                await self._api.keep_files(one["message_id"], files)

    async def _compare(self, events: list[Json]) -> list[str]:
        # a day without messages was looked at, too; of which day odd ones are, nobody knows
        by_day: dict[str, dict[str, Json]] = {datetime.now(UTC).date().isoformat(): {}}
        for event in events:
            by_day.setdefault(event["created_at"][:10], {})[event["id"]] = event
        healed: list[str] = []
        for day, found in by_day.items():
            odd = {"not_whole": self._odd} if self._odd and day == max(by_day) else {}
            missing = await self._api.compare_day(self._held, day, list(found), failed=odd)
            if missing:
                _log.warning("account %s: %s messages of %s were missing", self._held.id, len(missing), day)
                await self._take_in([found[one] for one in sorted(missing, key=int)])
                await self._api.compare_day(self._held, day, list(found), failed=odd)
            healed += missing
        return healed

    async def _since(self, is_wanted: Any) -> AsyncIterator[Json]:  # noqa: ANN401 # a predicate of JSON
        """Events, the newest first, as long as they are wanted."""
        self._odd, self._users, self._media = 0, {}, {}  # those of a look: all of a year's would pile up
        params: Json = dict(_EVENTS)
        while True:
            page = await self._client.read("/2/dm_events", params)
            included = page.get("includes") or {}
            self._users |= {user["id"]: user for user in included.get("users", ())}
            self._media |= {one["media_key"]: one for one in included.get("media", ()) if "media_key" in one}
            for event in page.get("data", ()):
                if not _is_whole(event):
                    self._odd += 1
                    continue
                if not is_wanted(event):
                    return
                yield event
            token = page.get("meta", {}).get("next_token")
            if token is None:
                return
            params["pagination_token"] = token

    def _read(self, event: Json) -> Json:
        """An event as the API takes it in."""
        key, sender = event["dm_conversation_id"], event["sender_id"]
        others = [one for one in key.split("-") if one != self._our_id] if "-" in key else []
        other = self._users.get(others[0], {"id": others[0]}) if others else None
        handle = f"@{other['username']}" if other and "username" in other else None
        return {
            "provider_id": event["id"],
            "thread_key": key,
            "aliases": [handle] if handle else [],
            "address": handle or (other["id"] if other else key),
            "direction": "out" if sender == self._our_id else "in",
            "sender": self._users.get(sender, {}).get("name"),
            "text": event.get("text", ""),
            "occurred_at": event["created_at"],
            "attachments": x_files.described(event, self._media),
            "payload": {"event": event},
        }

    async def _keep_sending(self) -> None:
        heard_at: str | None = None
        # what is claimed when we die is unknown: no more than is under way
        async for jobs in self._api.turns(self._held, limit=1):
            news_at = self._api.news_at[self._held.id]
            if news_at != heard_at:  # X has told of something
                heard_at = news_at
                self._news.set()
            for job in jobs:
                try:
                    await self._api.told(self._held, job, **await self.deliver(job))
                except FloodError as flood:
                    await self._api.told(self._held, job, "queued", seconds=flood.seconds)
                    raise

    async def deliver(self, job: Json) -> Json:
        """Give a message to X; what became of it, as `Api.told` takes it.

        Raises:
            FloodError, SignedOutError: it certainly did not go.
        """
        try:
            path, body = await self._path(job), await self._body(job)
        except httpx.HTTPStatusError:
            return {"state": "failed", "reason": "nobody_there"}
        except (RefusedError, x_files.NotTakenError) as refused:
            return {"state": "failed", "reason": refused.reason}
        except (FloodError, SignedOutError):
            raise
        except (httpx.HTTPError, OSError):  # the message itself certainly did not go
            return {"state": "queued", "seconds": 30}
        try:
            answer = await self._client.ask("POST", path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return {"state": "queued", "seconds": 30}
        except httpx.HTTPError:
            return {"state": "unknown", "reason": "connection_lost"}
        if answer.status_code < 300:
            return _sent(answer)
        if answer.status_code >= 500:
            return {"state": "unknown", "reason": f"http_{answer.status_code}"}
        return {"state": "failed", "reason": f"http_{answer.status_code}"}

    async def _body(self, job: Json) -> Json:
        files = [await x_files.upload(self._client, *one) for one in await self._api.files_of(job)]
        return {"text": job["text"]} | ({"attachments": [{"media_id": one} for one in files]} if files else {})

    async def _path(self, job: Json) -> str:
        key: str = job["thread_key"]
        if key.replace("-", "").isdigit():
            return f"/2/dm_conversations/{key}/messages"
        name = quote(job["address"].lstrip("@"), safe="")  # whoever writes may have typed anything
        found = await self._client.read(f"/2/users/by/username/{name}")
        if "data" not in found:  # X says 200 and names errors
            raise httpx.HTTPStatusError("nobody", request=httpx.Request("GET", key), response=httpx.Response(404))
        return f"/2/dm_conversations/with/{found['data']['id']}/messages"


def _is_whole(event: Any) -> bool:  # noqa: ANN401 # whatever X answers: its specification requires nothing
    if not isinstance(event, dict):
        return False
    named = (event.get(name) for name in ("id", "created_at", "dm_conversation_id", "sender_id"))
    if not all(isinstance(one, str) and one for one in named) or not event["id"].isdigit():
        return False
    with suppress(ValueError):
        datetime.fromisoformat(event["created_at"])
        return True
    return False


def _sent(answer: httpx.Response) -> Json:
    """What X calls a message that it took; where it does not say, nobody knows whether it did."""
    try:
        return {"state": "sent", "provider_id": str(answer.json()["data"]["dm_event_id"])}
    except (ValueError, LookupError, TypeError):
        return {"state": "unknown", "reason": "odd_answer"}
