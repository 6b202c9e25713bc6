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
    "phone_unknown": "Telegram does not know this number.",
    "sign_in_refused": "The provider refuses the sign-in. Enter another secret here.",
    "host_not_public": "Its mail server is no public one. Whoever runs Sluice can allow its network.",
    "peer_flood": "Telegram lets it write to nobody who did not write first.",
    "handed_back": "It was handed back.",
    "by_user": "Somebody disconnected it.",
    "signing_key_unusable": "The key that mails are signed with cannot be read. Enter another one below.",
}
_CHANNELS = {"email": "E-mail", "telegram": "Telegram", "x": "X", "linkedin": "LinkedIn"}
_ADDRESSES = {
    "email": "E-mail address",
    "telegram": "Phone number with country code",
    "x": "Handle",
    "linkedin": "Name of the profile",
}
#: What each channel signs in with, by the names that its connector reads.
_SECRETS = {
    "email": {"password": "Password"},
    "telegram": {"code": "Code", "password": "Password"},
    "x": {
        "access_token": "Access token",
        "refresh_token": "Refresh token",
        "client_id": "Client id of the app",
        "consumer_secret": "Consumer secret of the app, for its webhook",
    },
    "linkedin": {"access_token": "Access token"},
}
#: Mailboxes at Google and Microsoft have no password for programs.
_OAUTH = {
    "refresh_token": "Refresh token",
    "client_id": "Client id of the app",
    "client_secret": "Client secret of the app",
}
_SIGN_INS = {"": "Password", "google": "Google (OAuth 2.0)", "microsoft": "Microsoft (OAuth 2.0)"}
_SECURITY = {"tls": "TLS from the start", "starttls": "STARTTLS", "none": "None"}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw each account, and the form of a new one."""
    st.title("Accounts")
    with states.explained():
        _accounts(sign_in, me)


def _accounts(sign_in: SignIn, me: Me) -> None:
    found = client.get_all(sign_in, "/v1/bd-accounts")
    people = {one["id"]: one["name"] for one in client.get_all(sign_in, "/v1/users") if one["is_active"]}
    for account in found:
        _account(sign_in, me, account, people)
    if not found:
        st.info("No account yet. Add a mailbox or a Telegram number below.")
    _new(sign_in)


def _account(sign_in: SignIn, me: Me, account: dict[str, Any], people: dict[str, str]) -> None:
    path = f"/v1/bd-accounts/{account['id']}"
    with st.container(border=True):
        st.text(f"{account['name']} · {account['address']} ({_CHANNELS[account['channel']]})")
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
        _assign(sign_in, path, account, people)
        if account["channel"] == "x":
            st.caption("X tells of news at this path of the API, once its app's consumer secret is kept here:")
            st.code(f"/v1/x-webhooks/{me.organization.id}/{account['id']}", language=None)
        with st.expander("How much it sends, and how mails are signed"):
            _sending(sign_in, path, account)
        if account["state"] not in ("revoked", "banned") and st.button("Disconnect", key=f"end-{account['id']}"):
            client.post(sign_in, f"{path}/state", {"state": "revoked", "reason": "by_user"})
            st.rerun()


def _secret(sign_in: SignIn, path: str, account: dict[str, Any]) -> None:
    reason = account["reason"] or ""
    if reason in _WAITS:
        st.warning(_WAITS[reason])
    fields = _OAUTH if account["settings"].get("oauth") else _SECRETS[account["channel"]]
    # Telegram asks for one thing after the other
    wanted = [name for name in fields if reason.startswith(name)]
    named = (wanted or ["password"]) if account["channel"] == "telegram" else [*fields]
    with st.form(f"secret-{account['id']}", clear_on_submit=True):
        given = {name: st.text_input(fields[name], type="password") for name in named}
        kept = {name: value for name, value in given.items() if value}
        if st.form_submit_button("Keep") and kept:
            client.post(sign_in, f"{path}/secret", {"values": kept})
            st.rerun()


def _assign(sign_in: SignIn, path: str, account: dict[str, Any], people: dict[str, str]) -> None:
    """Who works with it from now on; who did before stays known."""
    choices = [None, *people]
    present = account["user_id"] if account["user_id"] in people else None
    chosen = st.selectbox(
        "Who works with it",
        choices,
        index=choices.index(present),
        format_func=lambda one: people[one] if one else "Nobody",
        key=f"user-{account['id']}-{account['version']}",
    )
    if chosen != present:
        states.tried(lambda: client.post(sign_in, f"{path}/assign", {"user_id": chosen, "team_id": account["team_id"]}))


def _sending(sign_in: SignIn, path: str, account: dict[str, Any]) -> None:
    """How many messages it begins a day, and of a mailbox whose server does not sign, the key to do so (DKIM)."""
    with st.form(f"sending-{account['id']}-{account['version']}"):
        limit = st.number_input("Messages a day, at most", 0, 100_000, account["daily_limit"])
        settings, key = dict(account["settings"]), ""
        if account["channel"] == "email":
            st.text(
                "Most mail servers sign what they send. If yours does not, enter a key whose other half is in your DNS."
            )
            selector = st.text_input("Selector of the key", settings.get("dkim_selector", ""), max_chars=63)
            key = st.text_area("Private key (PEM, RSA); what is there already is not shown", height=70).strip()
            settings |= {"dkim_selector": selector.strip()} if selector.strip() else {}
        if not st.form_submit_button("Save"):
            return
    try:
        body = {"daily_limit": int(limit), "settings": settings}
        client.patch(sign_in, path, body, etag=f'"{account["version"]}"')
        if key:
            client.post(sign_in, f"{path}/secret", {"values": {"dkim_key": key}})
    except client.StaleError:
        st.error("Somebody changed this account since you opened it. Reload the page to see their version.")
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
    else:
        st.rerun()


def _new(sign_in: SignIn) -> None:
    st.header("Add an account")
    channel = st.selectbox("Channel", [*_CHANNELS], format_func=_CHANNELS.__getitem__)
    with st.form("new-account", clear_on_submit=True):
        name = st.text_input("Name")
        address = st.text_input(_ADDRESSES[channel])
        settings = _mail_servers() if channel == "email" else {}
        if not st.form_submit_button("Add"):
            return
    body = {"channel": channel, "name": name, "address": address, "settings": settings}
    states.tried(lambda: client.post(sign_in, "/v1/bd-accounts", body))


def _mail_servers() -> dict[str, Any]:
    oauth = st.selectbox("Signs in by", [*_SIGN_INS], format_func=_SIGN_INS.__getitem__)
    settings: dict[str, Any] = {"oauth": oauth} if oauth else {}
    for kind, label in (("imap", "IMAP"), ("smtp", "SMTP")):
        host, security = st.columns([2, 1])
        settings[f"{kind}_host"] = host.text_input(f"{label} server")
        settings[f"{kind}_security"] = security.selectbox(
            f"Encryption of {label}", [*_SECURITY], format_func=_SECURITY.__getitem__
        )
    return settings
