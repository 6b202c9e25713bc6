"""Sign-in state: who the browser belongs to, across pages, tabs and reloads.

A sign-in's tokens live in this process's memory only. The browser keeps a random key in a cookie that scripts cannot
read (HttpOnly, SameSite=Strict); `serve.py` sets it in exchange for a ticket that works once. A restart of the
dashboards forgets all sign-ins: people sign in again.
"""

import secrets
import threading
import time
from dataclasses import dataclass, field

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "sluice_sign_in"

_TICKET_SECONDS = 30.0
_IDLE_SECONDS = 12 * 3600.0
_STATE = "sign_in"

#: Where the sign-in page finds why somebody stands before it.
NOTICE = "sign_in_notice"


@dataclass
class SignIn:
    """One person's tokens. All tabs share the object, so one refresh serves them all; hold `lock` to replace them."""

    access_token: str
    refresh_token: str
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class SignIns:
    """The sign-ins of this process by cookie value, and tickets with which a browser fetches its cookie."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[SignIn, float]] = {}
        self._tickets: dict[str, tuple[str, float]] = {}

    def keep(self, sign_in: SignIn, *, now: float | None = None) -> str:
        """Remember a sign-in; returns the ticket that fetches its cookie, once and soon."""
        now = time.monotonic() if now is None else now
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_old(now)
            self._kept[sign_in.key] = (sign_in, now)
            self._tickets[ticket] = (sign_in.key, now + _TICKET_SECONDS)
        return ticket

    def redeem(self, ticket: str, *, now: float | None = None) -> str | None:
        """The cookie's value for a ticket, or None if it was used, is too old or never was."""
        now = time.monotonic() if now is None else now
        with self._lock:
            key, expires = self._tickets.pop(ticket, ("", 0.0))
        return key if key and now < expires else None

    def find(self, key: str, *, now: float | None = None) -> SignIn | None:
        """The sign-in that a cookie's value stands for, unless it ended or lay idle for twelve hours."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._forget_old(now)
            kept = self._kept.get(key)
            if kept is None or kept[0].ended:
                return None
            self._kept[key] = (kept[0], now)
            return kept[0]

    def forget(self, sign_in: SignIn) -> None:
        """End a sign-in in every tab."""
        sign_in.ended = True
        with self._lock:
            self._kept.pop(sign_in.key, None)

    def _forget_old(self, now: float) -> None:
        for key in [key for key, (_, used) in self._kept.items() if now - used > _IDLE_SECONDS]:
            self._kept.pop(key)[0].ended = True
        for ticket in [ticket for ticket, (_, expires) in self._tickets.items() if expires <= now]:
            del self._tickets[ticket]


#: Shared by all tabs and by the route that sets the cookie.
SIGN_INS = SignIns()


def is_secure(request: Request) -> bool:
    """Whether the browser came by https, perhaps through a proxy."""
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def set_cookie(request: Request, response: Response, key: str) -> None:
    """Give a browser the key of its sign-in."""
    response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=is_secure(request), path="/")


def current() -> SignIn | None:
    """This browser's sign-in, or None. Looks at the cookie when the tab is new."""
    sign_in: SignIn | None = st.session_state.get(_STATE)
    if sign_in is not None and sign_in.ended:
        st.session_state.setdefault(NOTICE, "You are signed out: you did so in another tab, or your sign-in has ended.")
    if sign_in is None:
        sign_in = SIGN_INS.find(st.context.cookies.get(COOKIE, ""))
    if sign_in is None or sign_in.ended:
        st.session_state.pop(_STATE, None)
        return None
    SIGN_INS.find(sign_in.key)  # this tab is in use: the idle time starts again
    st.session_state[_STATE] = sign_in
    return sign_in


def begin(sign_in: SignIn) -> None:
    """Make this the browser's sign-in, and let the next run of the page fetch its cookie."""
    st.session_state[_STATE] = sign_in
    st.session_state["ticket"] = SIGN_INS.keep(sign_in)


def take_ticket() -> str | None:
    """The ticket to exchange for a cookie, the first time after `begin`."""
    ticket: str | None = st.session_state.pop("ticket", None)
    return ticket


def end(reason: str | None = None) -> None:
    """End the browser's sign-in; the sign-in page shows the reason."""
    sign_in: SignIn | None = st.session_state.pop(_STATE, None)
    if sign_in is not None:
        SIGN_INS.forget(sign_in)
    st.session_state[NOTICE] = reason
