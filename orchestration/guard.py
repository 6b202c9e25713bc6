"""Who may open Dagster's pages, which have no sign-in of their own: operators, who know the installation's token.

People sign in by a form and get a cookie, programs send the token as `Bearer`. A request has to name a host that is
this server's, so that no name which somebody makes point here is served; what changes anything has to come from these
very pages (`Origin`), since cookies are sent to all ports of a host; and no query travels in an address.
"""

import asyncio
import hmac
import time
from collections.abc import Collection
from hashlib import sha256
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "sluice_operator"
HEALTH_PATH = "/healthz"
SIGN_IN_PATH, SIGN_OUT_PATH = "/sign-in", "/sign-out"

_GRAPHQL_PATH = "/graphql"
_SESSION_SECONDS = 12 * 3600
_MOST_BYTES = 4096
_WRONG_TOKEN_SECONDS = 0.5
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with none at all browsers send `Origin: null` with the form
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Sluice's Dagster</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem;color:#1b1f24}}
label,input,button{{display:block;width:100%;box-sizing:border-box;font:inherit}}
input,button{{padding:.5rem;margin:.25rem 0 1rem}}
p.wrong{{color:#a40e26}}</style></head>
<body><main><h1>Sluice for operators</h1><p>Dagster's pages are for those who run this installation. People of an
organization find their figures on the dashboards.</p>{problem}
<form method="post" action="/sign-in"><label for="token">Operators' token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Sign in</button></form></main></body></html>
"""


class Guard:
    """The ASGI app that lets signed-in operators through to `app`."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self._app, self._token = app, token
        self._hosts = frozenset(host.lower() for host in hosts)
        self._key = hmac.digest(token.encode(), b"session of Dagster's pages", sha256)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and sign-ins; pass on the rest."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = await self._answer(scope, receive)
        if answer is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; refusing it answers 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """What to say instead of the pages; None lets the request through."""
        headers, path = Headers(scope=scope), scope["path"]
        if headers.get("host", "").lower() not in self._hosts:
            return _refused(421, "This server is not reached by that name. SLUICE_DAGSTER_HOSTS lists further ones.")
        if path == HEALTH_PATH:
            return PlainTextResponse("ok", headers=_HEADERS)
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        is_program = self._is_program(headers)
        if changes and not _is_own(headers, needed=not is_program):
            return _refused(403, "This request does not come from Dagster's own pages.")
        if path in (SIGN_IN_PATH, SIGN_OUT_PATH) and scope["type"] == "http":
            return await self._sign(Request(scope, receive), path)
        if not (is_program or self._has_session(headers)):
            return _stranger(scope, headers)
        return _misused(scope, headers)

    def _is_program(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(given)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    def _has_session(self, headers: Headers) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        expires, _, signature = (morsel.value if morsel else "").partition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._sign_instant(expires).encode())
        return is_ours and expires.isdecimal() and int(expires) > time.time()

    def _sign_instant(self, expires: str) -> str:
        return hmac.new(self._key, expires.encode(), sha256).hexdigest()

    async def _sign(self, request: Request, path: str) -> Response:
        if path == SIGN_OUT_PATH:
            leaving = RedirectResponse(SIGN_IN_PATH, status_code=303, headers=_HEADERS)
            if request.method == "POST":
                leaving.delete_cookie(COOKIE, httponly=True, samesite="strict")
            return leaving
        if request.method != "POST":
            return _page()
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                return _page("That is no token.", status=413)
        if not self._is_token(parse_qs(body.decode("latin-1")).get("token", [""])[0]):
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            return _page("That is not the token of this installation.", status=401)
        expires = str(int(time.time()) + _SESSION_SECONDS)
        entering = RedirectResponse("/", status_code=303, headers=_HEADERS)
        entering.set_cookie(
            COOKIE,
            f"{expires}.{self._sign_instant(expires)}",
            max_age=_SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return entering


def _is_own(headers: Headers, *, needed: bool) -> bool:
    """Whether a request comes from a page of the host that it names; without `needed`, also from no page at all."""
    origin = headers.get("origin")
    if origin is None:
        return not needed
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _stranger(scope: Scope, headers: Headers) -> Response:
    if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return RedirectResponse(SIGN_IN_PATH, status_code=303, headers=_HEADERS)
    refused = _refused(401, "Sign in at /sign-in, or send the operators' token as Bearer.")
    refused.headers["WWW-Authenticate"] = "Bearer"
    return refused


def _misused(scope: Scope, headers: Headers) -> Response | None:
    """Queries that browsers can be made to send from anywhere: in an address, or as a form."""
    if scope["type"] != "http" or scope["path"].rstrip("/") != _GRAPHQL_PATH:
        return None
    if scope["method"] == "POST":
        is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        return None if is_json else _refused(415, "Send queries as application/json.")
    if scope["query_string"] or "text/html" not in headers.get("accept", ""):
        refused = _refused(405, "Send queries by POST.")
        refused.headers["Allow"] = "POST"
        return refused
    return None


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"detail": why}, status_code=status, headers=_HEADERS)


def _page(problem: str = "", *, status: int = 200) -> Response:
    told = f'<p class="wrong" role="alert">{escape(problem)}</p>' if problem else ""
    return HTMLResponse(_PAGE.format(problem=told), status_code=status, headers=_HEADERS)
