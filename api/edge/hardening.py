"""What every answer says to browsers and caches, and how long a body may take to arrive.

A body that trickles in holds memory and a socket, never a connection to PostgreSQL; it is cut off when it is slower
than any network that people work over.
"""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.problems import too_large

#: A part of a body comes within so many seconds, and the whole of it at this rate once the first seconds have passed.
_PART_SECONDS, _FIRST_SECONDS, _BYTES_PER_SECOND = 15.0, 15.0, 1_000.0

_TOO_LARGE = 413

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # answers hold tokens and people's data; what may be kept says so itself
    (b"cache-control", b"no-store"),
]


class Hardening:
    """ASGI middleware around the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_replaced = False

        async def send_hardened(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start":
                if not is_replaced and _is_too_large_in_plain_text(message):
                    is_replaced = True
                    await too_large(Request(scope))(scope, receive, send_hardened)
                    return
                headers = message["headers"] = list(message.get("headers", ()))
                given = {name for name, _ in headers}
                headers += (header for header in _HEADERS if header[0] not in given)
            await send(message)

        async def send_unless_replaced(message: Message) -> None:
            if not is_replaced:
                await send_hardened(message)

        await self._app(scope, _Body(receive).receive, send_unless_replaced)


class _Body:
    """A request's body as it arrives."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._began_at = time.monotonic()
        self._bytes = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 408, it comes too slowly.
        """
        if self._is_whole:  # what comes now is the news that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout(_PART_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            raise _too_slow() from error
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        late = time.monotonic() - self._began_at - _FIRST_SECONDS
        if not self._is_whole and late > 0 and self._bytes < late * _BYTES_PER_SECOND:
            raise _too_slow()
        return message


def _is_too_large_in_plain_text(message: Message) -> bool:
    """Whether this begins what Starlette puts in the place of any answer to a body that says to be too large."""
    if message["type"] != "http.response.start" or message["status"] != _TOO_LARGE:
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")


def _too_slow() -> HTTPException:
    return HTTPException(408, "The body came too slowly.", headers={"Connection": "close"})
