"""Webhooks: where events are sent, and what became of each."""

from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import webhooks
from contracts.calls.schemas import WebhookRead, WebhookState
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Webhooks", icon="webhook", group="Admin", position=7, roles=frozenset({"owner", "admin"}))

_NEWEST = 100
_STATUSES = {"pending": "Waiting", "sent": "Sent", "failed": "Failed"}
_MADE = "webhook_made"


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Webhooks", anchor=False)
    _show_secret()
    zone = me.organization.zone
    with states.explained():
        hooks: dict[str, WebhookRead] = {
            hook["id"]: hook for hook in client.ask_all(sign_in, partial(webhooks.list_webhooks, limit=100))
        }
        if hooks:
            _list(list(hooks.values()), zone)
            chosen = st.selectbox("Webhook", list(hooks), format_func=lambda one: hooks[one]["url"], key="webhook")
            with states.explained():
                _act(sign_in, hooks[chosen])
            with states.explained():
                _deliveries(sign_in, hooks[chosen], zone)
        else:
            states.nothing_here("Events are sent nowhere yet", "Add the first address below.")
    with states.explained():
        _make(sign_in)


def _list(hooks: list[WebhookRead], zone: ZoneInfo) -> None:
    rows = [
        {
            "Address": hook["url"],
            "Events": ", ".join(hook["event_types"]) or "all",
            "State": hook["state"].capitalize(),
            "Why": hook["reason"] or "",
            "Fails since": _at(hook["first_failed_at"], zone),
        }
        for hook in hooks
    ]
    tables.show(rows, alt="Where events are sent")


def _act(sign_in: SignIn, hook: WebhookRead) -> None:
    is_active = hook["state"] == "active"
    with st.container(horizontal=True):
        is_tested = st.button("Send a test", icon=":material/send:", disabled=not is_active)
        is_switched = st.button("Turn off" if is_active else "Turn on", icon=":material/power_settings_new:")
        is_rotated = st.button(
            "New secret",
            icon=":material/key:",
            help="For a day deliveries carry signatures of both, the new one and the one before.",
        )
        with st.popover("Delete"):
            st.text("What waits is not sent any more, and the list of what was sent goes too.")
            is_deleted = st.button("Delete it", type="primary")
    if is_tested:
        client.ask(sign_in, webhooks.test_webhook(hook["id"]))
    elif is_switched:
        state: WebhookState = "disabled" if is_active else "active"
        client.ask(sign_in, webhooks.update_webhook(hook["id"], {"state": state}, version=hook["version"]))
    elif is_rotated:
        st.session_state[_MADE] = client.ask(sign_in, webhooks.rotate_webhook_secret(hook["id"]))["secret"]
    elif is_deleted:
        client.ask(sign_in, webhooks.delete_webhook(hook["id"], version=hook["version"]))
    else:
        return
    st.rerun()


def _deliveries(sign_in: SignIn, hook: WebhookRead, zone: ZoneInfo) -> None:
    st.header("Deliveries", anchor=False)
    found = client.ask_all(sign_in, partial(webhooks.list_webhook_deliveries, hook["id"], limit=_NEWEST), most=_NEWEST)
    if not found:
        st.text("Nothing was sent yet.")
        return
    rows = [
        {
            "When": _at(one["created_at"], zone),
            "Event": one["event_type"],
            "State": _STATUSES.get(one["status"], one["status"]),
            "Attempts": one["attempts"],
            "Answer": one["answer_status"],
            "What went wrong": one["error"] or "",
            "It said": one["answer"] or "",
        }
        for one in found
    ]
    tables.show(rows, alt="What was sent, newest first")
    if len(found) == _NEWEST:
        st.caption(f"The newest {_NEWEST} are shown; the API has all of thirty days.")
    names = {one["id"]: f"{one['event_type']}, {_at(one['created_at'], zone)}, {one['status']}" for one in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Delivery", list(names), format_func=names.__getitem__)
        if st.button("Send it again", icon=":material/replay:", disabled=hook["state"] != "active"):
            client.ask(sign_in, webhooks.replay_webhook_delivery(hook["id"], chosen))
            st.rerun()
        if st.button("Look again", icon=":material/refresh:", help="Sending takes seconds."):
            st.rerun()


def _make(sign_in: SignIn) -> None:
    st.header("A new webhook", anchor=False)
    types = client.ask(sign_in, webhooks.list_webhook_event_types())["items"]
    with st.form("webhook_form", clear_on_submit=False):
        url = st.text_input("Address", placeholder="https://hooks.example.com/sluice").strip()
        chosen = st.multiselect("Events", types, placeholder="All")
        done = st.form_submit_button("Make it", type="primary")
    if not done:
        return
    if not url:
        st.error("Enter the address that events are sent to.")
        return
    made = client.ask(sign_in, webhooks.create_webhook({"url": url, "event_types": chosen}))
    st.session_state[_MADE] = made["secret"]
    st.rerun()


def _show_secret() -> None:
    """A secret that was just drawn; the next run has forgotten it."""
    secret = st.session_state.pop(_MADE, None)
    if secret is not None:
        st.success("Copy the secret now, it is not shown again: whoever receives events checks their signatures by it.")
        st.code(secret, language=None)


def _at(instant: str | None, zone: ZoneInfo) -> str:
    return money.moment(datetime.fromisoformat(instant), zone) if instant else ""
