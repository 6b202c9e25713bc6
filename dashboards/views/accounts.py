"""Accounts: through what people are written to, how it does, and how complete each of its days is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import bd_accounts, connectors
from contracts.calls.schemas import (
    AccountAssign,
    AccountCreate,
    AccountRead,
    AccountUpdate,
    AssignmentRead,
    Channel,
    DayRead,
)
from dashboards import client, money, states, tables
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
    "token_needed": "The bot's token is needed. Enter it here.",
    "password_needed": "The account has a password of its own. Enter it here.",
    "password_wrong": "That password was wrong. Enter it again.",
    "phone_unknown": "Telegram does not know this number.",
    "sign_in_refused": "The provider refuses the sign-in. Enter another secret here.",
    "host_not_public": "Its mail server is no public one. Whoever runs Sluice can allow its network.",
    "unreachable": "Its provider does not answer, or not as it should. It is tried again every minute.",
    "account_banned": "Its provider has closed it for good. Its messages stay here; put it away when it is replaced.",
    "session_ended": "Its sign-in was ended elsewhere. Connect it again to get a new code.",
    "peer_flood": "Telegram lets it write to nobody who did not write first.",
    "handed_back": "It was handed back.",
    "by_user": "Somebody disconnected it.",
    "signing_key_unusable": "The key that mails are signed with cannot be read. Enter another one below.",
}
_NOT_COMPARED = {
    "bots_may_list_nothing": (
        "Its days cannot be compared, because Telegram lets a bot list no messages. What it missed is asked for by the"
        " number of the last update, which Telegram keeps for a day; whether more is missing nobody can tell."
    ),
    "linkedin_lists_nothing": (
        "Its days cannot be compared, because LinkedIn lets no program list messages. Here is what was written here."
    ),
}
_CHANNELS: dict[Channel, str] = {"email": "E-mail", "telegram": "Telegram", "x": "X", "linkedin": "LinkedIn"}
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
    "bot": {"bot_token": "Token of the bot, from @BotFather"},
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
#: How a Telegram account is connected: as its person's own program, or by a bot that they let answer for them.
_WAYS = {"person": "By its number and a code", "bot": "By a business bot"}
_LOOK_SECONDS = 5.0
_SECURITY = {"tls": "TLS from the start", "starttls": "STARTTLS", "none": "None"}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw each account, and the form of a new one."""
    st.title("Accounts")
    with states.explained():
        _accounts(sign_in, me)


def _accounts(sign_in: SignIn, me: Me) -> None:
    found = client.ask_all(sign_in, partial(bd_accounts.list_bd_accounts, limit=100))
    known = Known(client.people(sign_in), client.teams(sign_in), me.organization.zone)
    for account in found:
        _account(sign_in, me, account, known)
    if not found:
        st.info("No account yet. Add a mailbox or a Telegram number below.")
    _new(sign_in)
    _watch(sign_in, _standing(found))


def _standing(found: list[AccountRead]) -> dict[str, tuple[str, str | None]]:
    return {account["id"]: (account["state"], account["reason"]) for account in found}


@st.fragment(run_every=_LOOK_SECONDS)
def _watch(sign_in: SignIn, drawn: dict[str, tuple[str, str | None]]) -> None:
    """Show what an account waits for as soon as it does: whoever connects one has its code in hand."""
    try:
        found = client.ask_all(sign_in, partial(bd_accounts.list_bd_accounts, limit=100))
    except client.ApiError:
        return  # the next look tells, and whatever the person does says what is wrong
    if _standing(found) != drawn:
        st.rerun()


@dataclass(frozen=True)
class Known:
    """The names of those who may work with an account, by id, and the zone of the organization."""

    people: dict[str, str]
    teams: dict[str, str]
    zone: ZoneInfo

    @property
    def by_field(self) -> tuple[tuple[Literal["user_id", "team_id"], dict[str, str]], ...]:
        """The same by the field that names one of them."""
        return ("user_id", self.people), ("team_id", self.teams)


def _account(sign_in: SignIn, me: Me, account: AccountRead, known: Known) -> None:
    with st.container(border=True):
        st.text(f"{account['name']} · {account['address']} ({_CHANNELS[account['channel']]})")
        until = datetime.fromisoformat(account["until"]) if account["until"] else None
        ends = f" until {money.moment(until, known.zone)}" if until else ""
        st.text(f"It {_STATES[account['state']]}{ends}.")
        if not _is_held(account):
            st.caption("No connector holds it now: whoever runs Sluice starts `./sluice channels`.")
        health = client.ask(sign_in, bd_accounts.read_bd_account_health(account["id"]))
        first, second, third = st.columns(3)
        answered = f"{health['answered']} of the last {health['written_to']} people who were written to have answered."
        first.metric("Health", f"{health['health']:.0%}", border=True, help=answered)
        second.metric("Sent today", health["sent_today"], border=True)
        third.metric("May still begin today", health["budget"], border=True)
        if account["not_compared"]:
            st.info(_NOT_COMPARED[account["not_compared"]])
        days = client.ask(sign_in, bd_accounts.list_bd_account_days(account["id"], limit=14))["items"]
        if days:
            tables.show([_day(day) for day in days], alt="How complete each day is")
        if sum(day["missing"] for day in days):
            st.error("Messages are missing here. They are asked for again every minute.")
        if any(day["failed"] for day in days):
            st.warning("Some messages could not be taken in. Read them where they came from.")
        if account["state"] == "banned":
            st.warning(_WAITS["account_banned"])
        else:
            _secret(sign_in, account)
        _assign(sign_in, account, known)
        if account["channel"] == "x":
            st.caption("X tells of news at this path of the API, once its app's consumer secret is kept here:")
            st.code(f"/v1/x-webhooks/{me.organization.id}/{account['id']}", language=None)
        with st.expander("How much it sends, and how mails are signed"):
            _sending(sign_in, account)
        if account["state"] == "revoked" and st.button("Connect it again", key=f"again-{account['id']}"):
            again = connectors.report_bd_account(account["id"], {"state": "connecting"})
            states.tried(lambda: client.ask(sign_in, again))
        end = "Put it away" if account["state"] == "banned" else "Disconnect"
        if account["state"] != "revoked" and st.button(end, key=f"end-{account['id']}"):
            ended = connectors.report_bd_account(account["id"], {"state": "revoked", "reason": "by_user"})
            states.tried(lambda: client.ask(sign_in, ended))


def _is_held(account: AccountRead) -> bool:
    """Whether somebody connects it, or nobody should."""
    until = account["lease_until"]
    lives = until is not None and datetime.fromisoformat(until) > datetime.now(UTC)
    return lives or account["state"] in ("banned", "revoked")


def _day(day: DayRead) -> dict[str, Any]:
    """A day of the ledger: what the provider has is stored, missing, left out or failed."""

    def reasons(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items())

    return {
        "Day": day["day"],
        "At the provider": day["provider"],
        "Stored": day["stored"],
        "Missing": day["missing"],
        "Left out": reasons(day["filtered"]),
        "Failed": reasons(day["failed"]),
        "Came late": day["healed"],
    }


def _secret(sign_in: SignIn, account: AccountRead) -> None:
    reason = account["reason"] or ""
    if reason in _WAITS:
        st.warning(_WAITS[reason])
    is_bot = bool(account["settings"].get("business_bot"))
    fields = _OAUTH if account["settings"].get("oauth") else _SECRETS["bot" if is_bot else account["channel"]]
    # Telegram asks for one thing after the other
    wanted = [name for name in fields if reason.startswith(name)]
    named = (wanted or ["password"]) if account["channel"] == "telegram" and not is_bot else [*fields]
    with st.form(f"secret-{account['id']}", clear_on_submit=True):
        given = {name: st.text_input(fields[name], type="password") for name in named}
        kept = {name: value for name, value in given.items() if value}
        if st.form_submit_button("Keep") and kept:
            client.ask(sign_in, connectors.keep_bd_account_secret(account["id"], {"values": kept}))
            st.rerun()


def _assign(sign_in: SignIn, account: AccountRead, known: Known) -> None:
    """Who works with it from now on, a person and a team; who did before stays known."""
    wanted, present = AccountAssign(), AccountAssign()
    for place, label, (field, names) in zip(st.columns(2), ("Who works with it", "Team"), known.by_field, strict=True):
        choices = [None, *names]
        present[field] = account[field] if account[field] in names else None
        wanted[field] = place.selectbox(
            label,
            choices,
            index=choices.index(present[field]),
            format_func=partial(_name_in, names),
            key=f"{field}-{account['id']}-{account['version']}",
        )
    if wanted != present:
        states.tried(lambda: client.ask(sign_in, bd_accounts.assign_bd_account(account["id"], wanted)))
    with st.expander("Who worked with it before"):
        _history(client.ask(sign_in, bd_accounts.list_bd_account_assignments(account["id"], limit=50))["items"], known)


def _name_in(names: dict[str, str], one: str | None) -> str:
    return names[one] if one else "Nobody"


def _history(times: list[AssignmentRead], known: Known) -> None:
    if not times:
        st.text("Nobody so far.")
        return
    rows = [
        {
            "Person": known.people.get(one["user_id"] or "", money.NOTHING),
            "Team": known.teams.get(one["team_id"] or "", money.NOTHING),
            "From": money.moment(datetime.fromisoformat(one["started_at"]), known.zone),
            "To": money.moment(datetime.fromisoformat(one["ended_at"]), known.zone) if one["ended_at"] else "now",
        }
        for one in times
    ]
    tables.show(rows, alt="Who worked with this account when")


def _sending(sign_in: SignIn, account: AccountRead) -> None:
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
        body: AccountUpdate = {"daily_limit": int(limit), "settings": settings}
        client.ask(sign_in, bd_accounts.update_bd_account(account["id"], body, version=account["version"]))
        if key:
            client.ask(sign_in, connectors.keep_bd_account_secret(account["id"], {"values": {"dkim_key": key}}))
    except client.StaleError:
        st.error("Somebody changed this account since you opened it. Reload the page to see their version.")
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
    else:
        st.rerun()


def _new(sign_in: SignIn) -> None:
    st.header("Add an account")
    channel = st.selectbox("Channel", [*_CHANNELS], format_func=_CHANNELS.__getitem__)
    is_bot = False
    if channel == "telegram":
        is_bot = st.radio("How", list(_WAYS), format_func=_WAYS.__getitem__, horizontal=True) == "bot"
        if is_bot:
            st.caption("In Telegram: Settings, Telegram Business, Chatbots. It answers customers; it begins nothing.")
    with st.form("new-account", clear_on_submit=True):
        name = st.text_input("Name")
        address = st.text_input("Name of the bot, as @helper" if is_bot else _ADDRESSES[channel])
        settings = _mail_servers() if channel == "email" else {"business_bot": True} if is_bot else {}
        if not st.form_submit_button("Add"):
            return
    body: AccountCreate = {"channel": channel, "name": name, "address": address, "settings": settings}
    states.tried(lambda: client.ask(sign_in, bd_accounts.create_bd_account(body)))


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
