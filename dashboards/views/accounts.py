"""Accounts: through what people are written to, how it does, and how complete each of its days is."""

from typing import Any

import streamlit as st

from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Accounts", icon="contact_mail", group="Admin", position=5, roles=frozenset({"owner", "admin"}))

_STATES = {
    "connecting": "is being connected",
    "active": "works",
    "limited": "is restricted by its provider",
    "flood_wait": "waits, as its provider asked",
    "banned": "was closed by its provider",
    "revoked": "is disconnected",
}
_WAITS = {
    "code_needed": "Telegram has sent a code. Enter it here.",
    "code_wrong": "That code was wrong. Enter it again.",
    "password_needed": "The account has a password of its own. Enter it here.",
    "password_wrong": "That password was wrong. Enter it again.",
    "sign_in_refused": "The mail server refuses the password. Enter another one here.",
}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw each account, and the form of a new one."""
    del me
    st.title("Accounts")
    with states.explained():
        _accounts(sign_in)


def _accounts(sign_in: SignIn) -> None:
    found = client.get_all(sign_in, "/v1/bd-accounts")
    for account in found:
        _account(sign_in, account)
    if not found:
        st.info("No account yet. Add a mailbox or a Telegram number below.")
    _new(sign_in)


def _account(sign_in: SignIn, account: dict[str, Any]) -> None:
    path = f"/v1/bd-accounts/{account['id']}"
    with st.container(border=True):
        st.text(f"{account['name']} · {account['address']} ({account['channel']})")
        until = f" until {account['until']}" if account["until"] else ""
        st.text(f"It {_STATES[account['state']]}{until}.")
        health = client.get(sign_in, f"{path}/health")
        first, second, third = st.columns(3)
        first.metric("Health", f"{health['health']:.0%}", border=True)
        second.metric("Sent today", health["sent_today"], border=True)
        third.metric("May still begin today", health["budget"], border=True)
        days = client.get_all(sign_in, f"{path}/days", most=14)
        if days:
            columns = ("day", "provider", "stored", "missing", "healed")
            st.dataframe([{name: day[name] for name in columns} for day in days], hide_index=True)
        if sum(day["missing"] for day in days):
            st.error("Messages are missing here. They are asked for again every minute.")
        _secret(sign_in, path, account)
        if account["state"] not in ("revoked", "banned") and st.button("Disconnect", key=f"end-{account['id']}"):
            client.post(sign_in, f"{path}/state", {"state": "revoked", "reason": "by_user"})
            st.rerun()


def _secret(sign_in: SignIn, path: str, account: dict[str, Any]) -> None:
    wait = _WAITS.get(account["reason"] or "")
    if wait:
        st.warning(wait)
    name = "code" if (account["reason"] or "").startswith("code") else "password"
    with st.form(f"secret-{account['id']}", clear_on_submit=True):
        value = st.text_input("Code" if name == "code" else "Password", type="password")
        if st.form_submit_button("Keep") and value:
            client.post(sign_in, f"{path}/secret", {"values": {name: value}})
            st.rerun()


def _new(sign_in: SignIn) -> None:
    st.header("Add an account")
    channel = st.selectbox("Channel", ["email", "telegram"])
    with st.form("new-account", clear_on_submit=True):
        name = st.text_input("Name")
        address = st.text_input("E-mail address" if channel == "email" else "Phone number with country code")
        settings: dict[str, Any] = {}
        if channel == "email":
            settings["imap_host"] = st.text_input("IMAP server")
            settings["smtp_host"] = st.text_input("SMTP server")
        if not st.form_submit_button("Add"):
            return
    body = {"channel": channel, "name": name, "address": address, "settings": settings}
    try:
        client.post(sign_in, "/v1/bd-accounts", body)
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
        return
    st.rerun()
