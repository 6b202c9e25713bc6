"""`/v1/live`: a WebSocket that tells what happens, and the same to ask for.

The first message is `{"token": "…", "after": 17, "stream": "…"}`; the token may be given as the subprotocol
`bearer.<token>` beside `sluice.v1` instead. Without `after` one hears what comes from now on. A later `{"token": "…"}`
goes on with a fresh one. Never in the address: addresses are logged.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Query, Response, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from api.edge.addresses import address_of
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.routing import slice_router
from api.edge.security import AccessClaims
from api.edge.services import services_of
from api.edge.tokens import read_token
from api.kernel.errors import Unauthenticated
from api.live import records
from api.live.audience import heard_by
from api.live.channels import BAD_MESSAGE, SIGNED_OUT, TOO_MANY, Channels, Listener
from api.live.door import Place

_PROTOCOL, _BEARER = "sluice.v1", "bearer."
_FIRST_SECONDS, _CLOSE_SECONDS = 3.0, 3.0
#: Messages that somebody sends in a minute: tokens are renewed every few minutes.
_MOST_MESSAGES = 20
_LONGEST_MESSAGE = 8_192
_FOR_EVER = datetime.max.replace(tzinfo=UTC)

router = slice_router(prefix="/live", tags=["live"])
sockets = APIRouter(prefix="/v1")
routers = [router, sockets]


class _Hello(BaseModel):
    """What a client says first, and may say again with a fresh token."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = None
    after: int | None = Field(default=None, ge=0)
    stream: UUID | None = None


class LiveEvent(BaseModel):
    """Something that happened. What the record says now is read where it is always read."""

    model_config = ConfigDict(from_attributes=True)

    sequence: int
    type: str
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    occurred_at: datetime
    actor: str
    actor_id: UUID | None
    conversation_id: UUID | None
    deal_id: UUID | None


class LiveEvents(BaseModel):
    """What you may know of after a number."""

    stream: UUID
    sequence: int = Field(description="Ask for what is after it next. Behind it may be events of others.")
    is_reset: bool = Field(description="What was between cannot be told any more: read everything anew.")
    has_more: bool
    events: list[LiveEvent]


@router.get("/events")
async def list_live_events(
    caller: CurrentCaller,
    unit: Unit,
    after: Annotated[int | None, Query(ge=0, description="The number you heard of last; without: from now on.")] = None,
    stream: Annotated[UUID | None, Query(description="Which numbers that were.")] = None,
) -> LiveEvents:
    """Ask for what the socket `/v1/live` would tell, of the last 24 hours."""
    standing = await records.read_standing(unit)
    begins_at, is_reset = standing.begins_at(after, stream)
    events = [] if is_reset else await records.read_after(unit, begins_at)
    heard = await heard_by(unit, caller, events)
    return LiveEvents(
        stream=standing.stream,
        sequence=events[-1].sequence if events else begins_at,
        is_reset=is_reset,
        has_more=len(events) == records.LARGEST_PUSH,
        events=[LiveEvent.model_validate(one) for one in heard],
    )


@sockets.websocket("/live")
async def listen_live(socket: WebSocket) -> None:
    """Tell what happens for as long as whoever listens may."""
    if not _is_welcome(socket):
        raise WebSocketException(BAD_MESSAGE, "foreign_origin")  # not accepted yet: 403
    channels = _channels(socket)
    place = channels.door.knock(address_of(socket))
    if place is None:
        await socket.send_denial_response(Response(status_code=429, headers={"Retry-After": "1"}))
        return
    given = [one.removeprefix(_BEARER) for one in socket.scope["subprotocols"] if one.startswith(_BEARER)]
    try:
        await socket.accept(subprotocol=_PROTOCOL if _PROTOCOL in socket.scope["subprotocols"] else None)
        code, reason = await _Session(socket, channels, place, given[0] if given else None).run()
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # they are gone, or do not read
            async with asyncio.timeout(_CLOSE_SECONDS):
                await socket.close(code, reason)
    finally:
        place.leave()


class _EndedError(Exception):
    """The socket ends, with a code and a word."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass
class _Session:
    socket: WebSocket
    channels: Channels
    place: Place
    token: str | None

    async def run(self) -> tuple[int, str]:
        """Serve the socket; how it ends."""
        try:
            listener, first = await self._let_in()
        except _EndedError as end:
            return end.code, end.reason
        tasks = [
            asyncio.create_task(one)
            for one in (self._send(listener), self._receive(listener), self._join(listener, first))
        ]
        try:
            return await listener.ended
        finally:
            self.channels.leave(listener)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _let_in(self) -> tuple[Listener, _Hello]:
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                first = _Hello() if self.token is not None else await self._next()
        except TimeoutError:
            raise _EndedError(SIGNED_OUT, "no_token") from None
        claims = self._claims(first.token or self.token)
        return Listener(claims, claims.expires_at or _FOR_EVER), first

    async def _join(self, listener: Listener, first: _Hello) -> None:
        try:
            await self.channels.join(listener, self.place, first.after, first.stream)
        except Exception:
            listener.end(1011, "unavailable")
            raise

    async def _send(self, listener: Listener) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                frame = await listener.next_frame()
                await self.socket.send_text(frame.decode())
        listener.end(1000, "gone")

    async def _receive(self, listener: Listener) -> None:
        """Take fresh tokens; end with whoever says anything else, or too much."""
        number, since = 0, asyncio.get_running_loop().time()
        try:
            while True:
                said = await self._next()
                if asyncio.get_running_loop().time() > since + 60:
                    number, since = 0, asyncio.get_running_loop().time()
                number += 1
                if number > _MOST_MESSAGES:
                    raise _EndedError(TOO_MANY, "too_many_messages")
                claims = self._claims(said.token)
                if replace(claims, digest=None) != replace(listener.claims, digest=None):
                    raise _EndedError(SIGNED_OUT, "another_sign_in")
                listener.claims, listener.expires_at = claims, claims.expires_at or _FOR_EVER
        except _EndedError as end:
            listener.end(end.code, end.reason)

    async def _next(self) -> _Hello:
        try:
            text = await self.socket.receive_text()
            if len(text) > _LONGEST_MESSAGE:
                raise _EndedError(1009, "too_long")
            return _Hello.model_validate_json(text)
        except WebSocketDisconnect:
            raise _EndedError(1000, "gone") from None
        except (ValidationError, KeyError):  # KeyError: bytes instead of a text
            raise _EndedError(BAD_MESSAGE, "bad_message") from None

    def _claims(self, token: str | None) -> AccessClaims:
        try:
            return read_token(self.socket, token or "")
        except Unauthenticated:
            raise _EndedError(SIGNED_OUT, "signed_out") from None


def _channels(socket: WebSocket) -> Channels:
    state: Any = socket.app.state
    if not hasattr(state, "live"):
        state.live = Channels(services_of(socket).database)
    channels: Channels = state.live
    return channels


def _is_welcome(socket: WebSocket) -> bool:
    """Whether no page asks, or one of ours: a browser says whose page it is."""
    origin = socket.headers.get("Origin")
    if origin is None:
        return True
    ours, theirs = urlsplit(services_of(socket).settings.public_url), urlsplit(origin)
    return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
