"""Inbox: conversations, the messages of one, and what is to be done with it: answer, note, assign, close.

What strangers wrote is shown as text, never as Markdown or HTML. While the page is open it asks every few seconds what
live updates tell (`/v1/live/events`), and draws itself anew when it is about messages; the same look says to colleagues
who is here, and shows which of them are.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import conversations, files, live
from contracts.calls import messages as message_calls
from contracts.calls.schemas import ConversationRead, ConversationStatus, ConversationUpdate, MessageRead, Present
from dashboards import client, drafting, money, pages, states, writing
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Inbox", icon="inbox", group="Work", position=5)

_STATES: dict[ConversationStatus, str] = {"open": "Open", "snoozed": "Snoozed", "closed": "Closed"}
_ICONS = {
    "email": ":material/mail:",
    "telegram": ":material/send:",
    "x": ":material/tag:",
    "linkedin": ":material/work:",
}
_WRITERS = frozenset({"owner", "admin", "manager", "rep"})
_WHOSE = {"all": "Everybody's", "mine": "Mine", "nobody": "Nobody's"}
_MOST = 100
#: S/MIME and PGP.
_SEALED = {
    "application/pkcs7-mime",
    "application/pkcs7-signature",
    "application/pgp-encrypted",
    "application/pgp-signature",
}
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
    writes = me.role in _WRITERS
    with st.container(horizontal=True, vertical_alignment="bottom"):
        status = st.segmented_control("Status", list(_STATES), default="open", format_func=_STATES.__getitem__)
        whose = st.segmented_control("Whose", list(_WHOSE), default="all", format_func=_WHOSE.__getitem__)
        words = st.text_input("Search in subjects and messages", key="inbox-words", width=260).strip()
        contact_id = st.query_params.get("contact_id")
        if writes:
            writing.begin(sign_in, contact_id)
    listing = partial(
        conversations.list_conversations,
        status=status,
        q=words or None,
        contact_id=contact_id,
        assignee_id=me.id if whose == "mine" else None,
        is_unassigned=True if whose == "nobody" else None,
        limit=100,
    )
    found: list[ConversationRead] = client.ask_all(sign_in, listing, most=_MOST + 1)
    left, right = st.columns([2, 3], gap="large")
    with left:
        chosen = _list(sign_in, found, writes=writes)
    with right:
        if chosen is None:
            states.nothing_here(*_nothing(status, whose, words))
        else:
            _conversation(sign_in, me, chosen)
    _watch(sign_in, chosen if writes else None)


def _nothing(status: str | None, whose: str | None, words: str) -> tuple[str, str]:
    if words or whose != "all" or status != "open":
        return "No conversation is like that", "Choose another status, everybody's, or other words."
    return "No conversation waits", "Messages come in once an account is connected (Admin, Accounts)."


@st.fragment(run_every=_LOOK_SECONDS)
def _watch(sign_in: SignIn, conversation_id: str | None) -> None:
    """Look what is new, say that one is here, and show who else is."""
    heard = st.session_state.get("inbox-heard", {})
    try:
        told = client.ask(sign_in, live.list_live_events(**heard))
    except client.ApiError:
        return  # the next look tells, and whatever the person does says what is wrong
    st.session_state["inbox-heard"] = {"after": told["sequence"], "stream": told["stream"]}
    if heard and (told["is_reset"] or any(one["aggregate_type"] in _ABOUT_MESSAGES for one in told["events"])):
        st.rerun()
    for other in _others(sign_in, conversation_id) if conversation_id else ():
        people = client.people(sign_in)
        doing = "writes an answer here" if other["is_typing"] else "looks at this conversation"
        st.warning(states.plain(f"{people.get(other['user_id'], 'A colleague')} {doing} too."), icon=":material/group:")


def _others(sign_in: SignIn, conversation_id: str) -> list[Present]:
    """Say that one is here; who else is. Of a conversation that is gone nobody is told, and the list shows that."""
    try:
        return client.ask(sign_in, conversations.be_present(conversation_id, {}))["others"]
    except client.ApiError:
        return []


def _list(sign_in: SignIn, found: list[ConversationRead], *, writes: bool) -> str | None:
    """The conversations as buttons; answers which one is open. Whoever opens one has seen what is new in it."""
    wanted = st.query_params.get("id")
    shown = found[:_MOST]
    chosen = wanted or (shown[0]["id"] if shown else None)
    for one in shown:
        unread = f" · {one['unread_count']} new" if one["unread_count"] else ""
        label = states.plain(f"{one['address']} — {one['subject'] or 'no subject'}{unread}")
        kind: Literal["primary", "secondary"] = "primary" if one["id"] == chosen else "secondary"
        if st.button(label, key=f"open-{one['id']}", icon=_ICONS[one["channel"]], type=kind, width="stretch"):
            if one["unread_count"] and writes:
                client.ask(sign_in, conversations.see_conversation(one["id"]))
            st.query_params["id"] = one["id"]
            st.rerun()
    more = ", and older ones: search for them" if len(found) > _MOST else ""
    st.caption(f"{len(shown)} shown{more}")
    return chosen


def _conversation(sign_in: SignIn, me: Me, conversation_id: str) -> None:
    read = client.ask(sign_in, conversations.read_conversation(conversation_id))
    st.header(states.plain(read["subject"] or read["address"]), anchor=False)
    st.text(f"With {read['address']} · {_STATES[read['status']].lower()}")
    writes = me.role in _WRITERS
    with st.container(horizontal=True):
        if read["contact_id"]:
            pages.link("contacts", "Contact", icon="person", id=read["contact_id"])
        if read["deal_id"]:
            pages.link("deals", "Deal", icon="handshake", id=read["deal_id"])
        if writes and read["unread_count"] and st.button("Mark as read", icon=":material/done_all:"):
            states.tried(lambda: client.ask(sign_in, conversations.see_conversation(conversation_id)))
        is_closed = read["status"] == "closed"
        if writes and st.button("Reopen" if is_closed else "Close", icon=":material/check:"):
            end = conversations.reopen_conversation if is_closed else conversations.close_conversation
            states.tried(lambda: client.ask(sign_in, end(conversation_id)))
    if writes:
        _assignment(sign_in, read)
        _arrangement(sign_in, read, me.organization.zone)
    listing = partial(conversations.list_conversation_messages, conversation_id, limit=100)
    messages: list[MessageRead] = client.ask_all(sign_in, listing, most=200)
    zone = me.organization.zone
    for message in reversed(messages):
        by_hand = read["channel"] == "linkedin" and message["state"] == "queued"
        _message(sign_in, message, zone, is_by_hand=by_hand and writes)
    if writes:
        writing.answer(sign_in, read, messages[0]["id"] if messages else None)
        drafting.panel(sign_in, me, {"reply": "Draft a reply"}, conversation_id=conversation_id)


def _message(sign_in: SignIn, message: MessageRead, zone: ZoneInfo, *, is_by_hand: bool) -> None:
    is_ours = message["direction"] != "in"
    with st.chat_message("assistant" if is_ours else "user"):
        who = "Note" if message["direction"] == "note" else "We" if is_ours else message["sender"] or "They"
        st.text(" · ".join([who, _at(message["occurred_at"], zone), *_marks(message)]))
        st.text("This message was taken back." if message["removed_at"] else message["text"])
        _files(sign_in, message)
        _original(sign_in, message)
        if is_by_hand:
            st.caption("LinkedIn lets only you send: copy the text, send it there, then say so here.")
        elif message["state"] in _SENDS:
            st.caption(f"This message {_SENDS[message['state']]}.")
        if is_by_hand or message["state"] in ("failed", "unknown"):
            again, sent = st.columns(2)
            if not is_by_hand and again.button("Send again", key=f"retry-{message['id']}"):
                client.ask(sign_in, message_calls.retry_message(message["id"]))
                st.rerun()
            if sent.button("It was sent", key=f"confirm-{message['id']}"):
                client.ask(sign_in, message_calls.confirm_message(message["id"]))
                st.rerun()


def _marks(message: MessageRead) -> list[str]:
    """What became of it since."""
    marks = [word for name, word in (("edited_at", "changed"), ("read_at", "read")) if message.get(name)]
    return [*marks, "no longer in the mailbox's folder"] if message["details"].get("gone_at") else marks


def _files(sign_in: SignIn, message: MessageRead) -> None:
    """The files of a message: in the mail as it came, kept beside it, or only named where they are too large."""
    listed = message["details"].get("attachments", [])
    kept: dict[tuple[str, int], str] = {}
    if any(not one.get("part") and not one.get("file_id") for one in listed):
        beside = client.ask(sign_in, files.list_files(message_id=message["id"], limit=100))["items"]
        kept = {(one["name"], one["size_bytes"]): one["id"] for one in beside}
    for one in listed:
        file_id = one.get("file_id") or kept.get((one["name"], one["size"]))
        if one.get("part"):
            _file(sign_in, one, message_calls.download_attachment(message["id"], one["part"]).path)
        elif file_id:
            _file(sign_in, one, files.download_file(file_id).path)
        else:
            st.text(f"File: {_label(one)}, not kept here")


def _original(sign_in: SignIn, message: MessageRead) -> None:
    """A mail that is signed or encrypted is whole only as it came."""
    types = {one["type"].replace("/x-", "/") for one in message["details"].get("attachments", [])}
    if message["direction"] == "in" and types & _SEALED:
        st.download_button(
            "The mail as it came, signed or encrypted",
            data=lambda: client.get_file(sign_in, message_calls.download_original(message["id"]).path),
            file_name="mail.eml",
            mime="message/rfc822",
            key=f"original-{message['id']}",
            icon=":material/encrypted:",
            on_click="ignore",
        )


def _label(file: dict[str, Any]) -> str:
    return f"{file['name']} ({file['size']:,} bytes)"


def _file(sign_in: SignIn, file: dict[str, Any], path: str) -> None:
    st.download_button(
        states.plain(_label(file)),
        data=lambda: client.get_file(sign_in, path),  # fetched when it is asked for
        file_name=file["name"],
        mime="application/octet-stream",
        key=f"save {path}",
        icon=":material/attach_file:",
        on_click="ignore",
    )


def _assignment(sign_in: SignIn, read: ConversationRead) -> None:
    """Who looks after it, a person and a team."""
    person, team = st.columns(2)
    with person:
        _choice(sign_in, read, "assignee_id", "Assigned to", client.people(sign_in))
    with team:
        _choice(sign_in, read, "team_id", "Team", client.teams(sign_in))


def _choice(
    sign_in: SignIn,
    read: ConversationRead,
    field: Literal["assignee_id", "team_id"],
    label: str,
    known: dict[str, str],
) -> None:
    choices = [None, *known]
    present = read[field] if read[field] in known else None
    key = f"{field}-{read['id']}-{read['version']}"
    chosen = st.selectbox(
        label, choices, choices.index(present), key=key, format_func=lambda one: known[one] if one else "Nobody"
    )
    if chosen != present:
        _change(sign_in, read, {"assignee_id": chosen} if field == "assignee_id" else {"team_id": chosen})


def _change(sign_in: SignIn, read: ConversationRead, changes: ConversationUpdate) -> None:
    call = conversations.update_conversation(read["id"], changes, version=read["version"])
    states.tried(lambda: client.ask(sign_in, call))


def _arrangement(sign_in: SignIn, read: ConversationRead, zone: ZoneInfo) -> None:
    """Labels, and sleep until later."""
    if read["labels"]:
        st.text(f"Labels: {', '.join(read['labels'])}")
    if read["snoozed_until"]:
        st.text(f"Sleeps until {_at(read['snoozed_until'], zone)}")
    with st.popover("Labels and sleep", icon=":material/label:"):
        with st.form(f"inbox-labels-{read['id']}", border=False):
            labels = st.text_input("Labels, with commas in between", value=", ".join(read["labels"]))
            if st.form_submit_button("Keep labels"):
                wanted = list(dict.fromkeys(one.strip() for one in labels.split(",") if one.strip()))
                _change(sign_in, read, {"labels": wanted})
        if read["status"] == "snoozed" and st.button("Wake it up"):
            _change(sign_in, read, {"snoozed_until": None})
        if read["status"] == "open":
            for label, sleep in _SLEEPS.items():
                if st.button(f"Sleep: {label.lower()}"):
                    _change(sign_in, read, {"snoozed_until": (datetime.now(UTC) + sleep).isoformat()})


def _at(instant: str, zone: ZoneInfo) -> str:
    return money.moment(datetime.fromisoformat(instant), zone)
