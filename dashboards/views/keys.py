"""Keys with which programs call the API: made, shown once, revoked."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import api_keys
from contracts.calls.schemas import ApiKeyCreate, ApiKeyRead, Role
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Keys", icon="key", group="Admin", position=8)

_LIVES = {"30 days": 30, "a year": 365, "for ever": None}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Keys", anchor=False)
    with states.explained():
        keys = client.ask_all(sign_in, partial(api_keys.list_api_keys, limit=100))
        _list(sign_in, keys, me.organization.zone)
    with states.explained():
        _make(sign_in, me)


def _list(sign_in: SignIn, keys: list[ApiKeyRead], zone: ZoneInfo) -> None:
    now = datetime.now(UTC)
    rows = [
        {
            "Name": key["name"],
            "Ends with": key["hint"],
            "May": ", ".join(key["scopes"]),
            "Acts as": key["role"] or "whoever made it",
            "Until": money.instant(key["expires_at"], zone) if key["expires_at"] else "for ever",
            "Last used": money.instant(key["last_used_at"], zone) if key["last_used_at"] else "never",
            "State": _state(key, now),
        }
        for key in keys
    ]
    if rows:
        tables.show(rows)
    else:
        st.text("There are no keys yet.")
    live = {key["id"]: f"{key['name']} (…{key['hint']})" for key in keys if not key["revoked_at"]}
    if live:
        chosen = st.selectbox("Revoke", list(live), format_func=live.__getitem__)
        if st.button("Revoke it", help="It is refused from now on."):
            client.ask(sign_in, api_keys.revoke_api_key(chosen))
            st.rerun()


def _state(key: ApiKeyRead, now: datetime) -> str:
    if key["revoked_at"]:
        return "revoked"
    return "ended" if key["expires_at"] and datetime.fromisoformat(key["expires_at"]) <= now else "in use"


def _make(sign_in: SignIn, me: Me) -> None:
    st.header("A new key", anchor=False)
    is_administrator = me.role in {"owner", "admin"}
    scopes = client.ask(sign_in, api_keys.list_key_scopes())["items"]
    with st.form("key"):
        name = st.text_input("Name")
        chosen = st.multiselect("May", scopes)
        life = st.selectbox("Is good for", list(_LIVES), index=1)
        of_service = is_administrator and st.checkbox(
            "Of a service", help="It goes on when you leave, with your role, and sees all records."
        )
        done = st.form_submit_button("Make it", type="primary")
    if done and name.strip() and chosen:
        days = _LIVES[life]
        until = (datetime.now(UTC) + timedelta(days=days)).isoformat() if days else None
        role = cast("Role", me.role) if of_service else None
        body: ApiKeyCreate = {"name": name.strip(), "scopes": chosen, "expires_at": until, "role": role}
        made = client.ask(sign_in, api_keys.create_api_key(body))
        st.success("Copy it now: it is not shown again.")
        st.code(made["key"], language=None)
