"""Writing to people: an answer in a conversation with files and canned words, and a conversation that one begins."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from contracts.calls import bd_accounts, conversations, files, schemas
from dashboards import client, pages, states
from dashboards.session import SignIn

_KEY = "inbox-key"
_CHANNELS = {"email": "e-mail", "telegram": "Telegram", "x": "X", "linkedin": "LinkedIn"}
_TO = {
    "email": "E-mail address",
    "telegram": "Handle or number, as @ada",
    "x": "Handle, as @ada",
    "linkedin": "Name of the profile",
}
_WORKING = ("active", "limited", "flood_wait")


def answer(sign_in: SignIn, read: schemas.ConversationRead, newest_id: str | None) -> None:
    """The form of an answer or a note; files are kept beside the newest message, and go with the answer."""
    canned = {one["title"]: one for one in client.ask_all(sign_in, conversations.list_canned_replies)}
    start = st.selectbox("Begin with", ["", *canned], format_func=lambda one: one or "Nothing") if canned else ""
    takes_files = read["channel"] != "x" and newest_id is not None
    with st.form(f"inbox-answer-{read['id']}", clear_on_submit=True):
        words = st.text_area("Message", value=canned[start]["text"] if start else "", height=160)
        given = st.file_uploader("Files", accept_multiple_files=True) if takes_files else []
        with st.container(horizontal=True):
            is_sent = st.form_submit_button("Send", type="primary", icon=":material/send:")
            is_noted = st.form_submit_button("Keep as a note", icon=":material/lock:")
            is_canned = st.form_submit_button("Keep to use again", icon=":material/bookmark_add:")
    if not words.strip():
        if is_sent or is_noted or is_canned:
            st.warning("Write something first.")
        return
    if is_sent:
        states.tried(lambda: _send(sign_in, read["id"], words, given, newest_id))
    if is_noted:
        call = conversations.note_conversation(read["id"], {"text": words}, key=_key())
        states.tried(lambda: client.ask(sign_in, call))
        _forget_key()
    if is_canned:
        title = " ".join(words.split())[:60]
        states.tried(lambda: client.ask(sign_in, conversations.create_canned_reply({"title": title, "text": words})))
    if start and st.button("Forget these words", key=f"forget-{canned[start]['id']}"):
        states.tried(lambda: client.ask(sign_in, conversations.delete_canned_reply(canned[start]["id"])))


def _send(sign_in: SignIn, conversation_id: str, words: str, given: Sequence[Any], newest_id: str | None) -> None:
    body: schemas.Reply = {"text": words}
    if given and newest_id is not None:
        body["file_ids"] = [
            client.upload(
                sign_in, files.attach_file().path, [("file", (one.name, one.getvalue()))], message_id=newest_id
            )["id"]
            for one in given
        ]
    client.ask(sign_in, conversations.reply_to_conversation(conversation_id, body, key=_key()))
    _forget_key()


def begin(sign_in: SignIn, contact_id: str | None) -> None:
    """The form of a conversation that one begins: from an account, to an address or a contact."""
    found = client.ask_all(sign_in, bd_accounts.list_bd_accounts)
    accounts = {one["id"]: one for one in found if one["state"] in _WORKING}
    with st.popover("Write to somebody", icon=":material/edit:"):
        if not accounts:
            st.text("No account works that could send it. An administrator adds one:")
            pages.link("accounts", "Accounts")
            return
        chosen = accounts[
            st.selectbox("From", [*accounts], format_func=lambda one: _named(accounts[one]), key="inbox-from")
        ]
        with st.form("inbox-begin", clear_on_submit=False, border=False):
            to = None if contact_id else st.text_input(_TO[chosen["channel"]])
            if contact_id:
                st.text("To the contact whose conversations are shown")
            subject = st.text_input("Subject") if chosen["channel"] == "email" else None
            words = st.text_area("Message", height=160)
            is_sent = st.form_submit_button("Send", type="primary", icon=":material/send:")
        if not is_sent:
            return
        if not words.strip() or not (contact_id or (to or "").strip()):
            st.warning("Say to whom, and what.")
            return
        body: schemas.ConversationStart = {"account_id": chosen["id"], "text": words, "subject": subject or None}
        if contact_id:
            body["contact_id"] = contact_id
        else:
            body["address"] = (to or "").strip()
        states.tried(lambda: _begin(sign_in, body))


def _begin(sign_in: SignIn, body: schemas.ConversationStart) -> None:
    made = client.ask(sign_in, conversations.start_conversation(body, key=_key()))
    _forget_key()
    st.query_params["id"] = made["id"]


def _named(account: Any) -> str:  # noqa: ANN401 # JSON
    return f"{account['name']} ({_CHANNELS[account['channel']]}, {account['address']})"


def _key() -> str:
    """The key by which the API knows a repeated request again, until one has got through."""
    key: str = st.session_state.setdefault(_KEY, str(uuid4()))
    return key


def _forget_key() -> None:
    st.session_state.pop(_KEY, None)
