"""Inbox: conversations, the messages of one, and what is to be done with it: answer, note, assign, close.

What strangers wrote is shown as text, never as Markdown or HTML. While the page is open it asks every few seconds what
live updates tell (`/v1/live/events`), and draws itself anew when it is about messages; the same look says to colleagues
who is here, and shows which of them are.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import streamlit as st

from dashboards import client, drafting, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Inbox", icon="inbox", group="Work", position=5)

_STATES = {"open": "Open", "snoozed": "Snoozed", "closed": "Closed"}
_ICONS = {
    "email": ":material/mail:",
    "telegram": ":material/send:",
    "x": ":material/tag:",
    "linkedin": ":material/work:",
}
_WRITERS = frozenset({"owner", "admin", "manager", "rep"})
_LOOK_SECONDS = 5.0
_ABOUT_MESSAGES = {"conversation", "message"}
_SLEEPS = {"An hour": timedelta(hours=1), "A day": timedelta(days=1), "A week": timedelta(days=7)}
_SENDS = {
    "queued": "waits to be sent",
    "sending": "is being sent",
    "failed": "was not sent",
    "unknown": "may have been sent; nobody can say",
}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the list beside the conversation that is open."""
    st.title("Inbox")
    with states.explained():
        _inbox(sign_in, me)


def _inbox(sign_in: SignIn, me: Me) -> None:
    status = st.segmented_control("Status", list(_STATES), default="open", format_func=_STATES.__getitem__)
    words = st.text_input("Search in subjects and messages", key="inbox-words").strip()
    parameters = {"status": status, "q": words or None, "contact_id": st.query_params.get("contact_id")}
    found = client.get_all(sign_in, "/v1/conversations", parameters, most=100)
    left, right = st.columns([2, 3], gap="large")
    with left:
        chosen = _list(found)
    with right:
        if chosen is None:
            st.info("No conversation here. Messages come in once an account is connected (Admin, Accounts).")
        else:
            _conversation(sign_in, me, chosen)
    _watch(sign_in, chosen if me.role in _WRITERS else None)


@st.fragment(run_every=_LOOK_SECONDS)
def _watch(sign_in: SignIn, conversation_id: str | None) -> None:
    """Look what is new, say that one is here, and show who else is."""
    heard = st.session_state.get("inbox-heard", {})
    try:
        told = client.get(sign_in, "/v1/live/events", heard)
    except client.ApiError:
        return  # the next look tells, and whatever the person does says what is wrong
    st.session_state["inbox-heard"] = {"after": told["sequence"], "stream": told["stream"]}
    if heard and (told["is_reset"] or any(one["aggregate_type"] in _ABOUT_MESSAGES for one in told["events"])):
        st.rerun()
    for other in _others(sign_in, conversation_id) if conversation_id else ():
        people = {one["id"]: one["name"] for one in client.get_all(sign_in, "/v1/users")}
        doing = "writes an answer here" if other["is_typing"] else "looks at this conversation"
        st.warning(states.plain(f"{people.get(other['user_id'], 'A colleague')} {doing} too."), icon=":material/group:")


def _others(sign_in: SignIn, conversation_id: str) -> list[dict[str, Any]]:
    """Say that one is here; who else is. Of a conversation that is gone nobody is told, and the list shows that."""
    try:
        found: list[dict[str, Any]] = client.put(sign_in, f"/v1/conversations/{conversation_id}/presence", {})["others"]
    except client.ApiError:
        return []
    return found


def _list(found: list[dict[str, Any]]) -> str | None:
    """The conversations as buttons; answers which one is open."""
    wanted = st.query_params.get("id")
    ids = [one["id"] for one in found]
    chosen = wanted or (ids[0] if ids else None)
    for one in found:
        unread = f" · {one['unread_count']} new" if one["unread_count"] else ""
        label = states.plain(f"{one['address']} — {one['subject'] or 'no subject'}{unread}")
        kind: Literal["primary", "secondary"] = "primary" if one["id"] == chosen else "secondary"
        if st.button(label, key=f"open-{one['id']}", icon=_ICONS[one["channel"]], type=kind, width="stretch"):
            st.query_params["id"] = one["id"]
            st.rerun()
    st.caption(f"{len(found)} shown")
    return chosen


def _conversation(sign_in: SignIn, me: Me, conversation_id: str) -> None:
    path = f"/v1/conversations/{conversation_id}"
    read = client.get(sign_in, path)
    st.header(states.plain(read["subject"] or read["address"]))
    st.text(f"With {read['address']} · {_STATES[read['status']].lower()}")
    _assignment(sign_in, path, read)
    _arrangement(sign_in, path, read)
    messages = client.get_all(sign_in, f"{path}/messages", most=200)
    for message in reversed(messages):
        _message(sign_in, message, is_by_hand=read["channel"] == "linkedin" and message["state"] == "queued")
    if read["unread_count"] and st.button("Mark as read"):
        client.post(sign_in, f"{path}/seen")
        st.rerun()
    _answer(sign_in, path, is_closed=read["status"] == "closed")
    drafting.panel(sign_in, me, {"reply": "Draft a reply"}, {"conversation_id": conversation_id})


def _message(sign_in: SignIn, message: dict[str, Any], *, is_by_hand: bool) -> None:
    is_ours = message["direction"] != "in"
    with st.chat_message("assistant" if is_ours else "user"):
        who = "Note" if message["direction"] == "note" else "We" if is_ours else message["sender"] or "They"
        st.text(f"{who} · {_instant(message['occurred_at'])}")
        st.text("This message was taken back." if message["removed_at"] else message["text"])
        for file in message["details"].get("attachments", []):
            _file(sign_in, message["id"], file)
        if is_by_hand:
            st.caption("LinkedIn lets only you send: copy the text, send it there, then say so here.")
        elif message["state"] in _SENDS:
            st.caption(f"This message {_SENDS[message['state']]}.")
        if is_by_hand or message["state"] in ("failed", "unknown"):
            again, sent = st.columns(2)
            if not is_by_hand and again.button("Send again", key=f"retry-{message['id']}"):
                client.post(sign_in, f"/v1/messages/{message['id']}/retry")
                st.rerun()
            if sent.button("It was sent", key=f"confirm-{message['id']}"):
                client.post(sign_in, f"/v1/messages/{message['id']}/confirm")
                st.rerun()


def _file(sign_in: SignIn, message_id: str, file: dict[str, Any]) -> None:
    label = f"{file['name']} ({file['size']} bytes)"
    if not file.get("part"):
        st.text(f"File: {label}")
        return
    path = f"/v1/messages/{message_id}/attachments/{file['part']}"
    st.download_button(
        states.plain(label),
        data=lambda: client.get_file(sign_in, path),  # fetched when it is asked for
        file_name=file["name"],
        mime="application/octet-stream",
        key=f"save {path}",
        icon=":material/attach_file:",
        on_click="ignore",
    )


def _assignment(sign_in: SignIn, path: str, read: client.Resource) -> None:
    people = {one["id"]: one["name"] for one in client.get_all(sign_in, "/v1/users") if one["is_active"]}
    choices = [None, *people]
    present = read["assignee_id"] if read["assignee_id"] in people else None
    key = f"assignee-{read['id']}-{read['version']}"
    chosen = st.selectbox(
        "Assigned to", choices, choices.index(present), key=key, format_func=lambda one: people.get(one, "Nobody")
    )
    if chosen != present:
        try:
            client.patch(sign_in, path, {"assignee_id": chosen}, etag=read.etag)
        except client.StaleError:
            st.warning("Somebody changed this conversation meanwhile. It is shown anew.")
        st.rerun()


def _arrangement(sign_in: SignIn, path: str, read: client.Resource) -> None:
    """Labels, and sleep until later."""
    if read["labels"]:
        st.text(f"Labels: {', '.join(read['labels'])}")
    if read["snoozed_until"]:
        st.text(f"Sleeps until {_instant(read['snoozed_until'])}")
    with st.popover("Labels and sleep", icon=":material/label:"):
        with st.form(f"inbox-labels-{read['id']}", border=False):
            labels = st.text_input("Labels, with commas in between", value=", ".join(read["labels"]))
            if st.form_submit_button("Keep labels"):
                wanted = list(dict.fromkeys(one.strip() for one in labels.split(",") if one.strip()))
                client.patch(sign_in, path, {"labels": wanted}, etag=read.etag)
                st.rerun()
        if read["status"] == "snoozed" and st.button("Wake it up"):
            client.patch(sign_in, path, {"snoozed_until": None}, etag=read.etag)
            st.rerun()
        if read["status"] == "open":
            for label, sleep in _SLEEPS.items():
                if st.button(f"Sleep: {label.lower()}"):
                    until = (datetime.now(UTC) + sleep).isoformat()
                    client.patch(sign_in, path, {"snoozed_until": until}, etag=read.etag)
                    st.rerun()


def _answer(sign_in: SignIn, path: str, *, is_closed: bool) -> None:
    key = st.session_state.setdefault("inbox-key", str(uuid4()))
    canned = {one["title"]: one["text"] for one in client.get_all(sign_in, "/v1/canned-replies")}
    start = st.selectbox("Begin with", ["", *canned], format_func=lambda one: one or "Nothing") if canned else ""
    with st.form("inbox-answer", clear_on_submit=True):
        text = st.text_area("Message", value=canned.get(start, ""))
        send, note, end = st.columns(3)
        is_sent = send.form_submit_button("Send", type="primary")
        is_noted = note.form_submit_button("Keep as a note")
        is_ended = end.form_submit_button("Reopen" if is_closed else "Close")
    if (is_sent or is_noted) and text.strip():
        client.post(sign_in, f"{path}/{'messages' if is_sent else 'notes'}", {"text": text}, key=key)
        st.session_state["inbox-key"] = str(uuid4())
        st.rerun()
    if is_ended:
        client.post(sign_in, f"{path}/{'reopen' if is_closed else 'close'}")
        st.rerun()


def _instant(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%d %b %Y, %H:%M UTC")
