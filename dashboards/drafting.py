"""Drafts wherever people ask for them and decide on them: in a conversation, at a deal, on their own page.

What a model wrote is text, never Markdown. Nothing of it is sent before somebody approves exactly what is shown.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import streamlit as st

from dashboards import client, states
from dashboards.answers import Me
from dashboards.session import SignIn

OPEN = {"generated": "nobody has looked at it", "edited": "changed, not approved", "approved": "approved"}

_KINDS = {"reply": "Reply", "next_action": "Next action", "summary": "Summary"}
_DECIDERS = frozenset({"owner", "admin", "manager", "rep"})


def panel(sign_in: SignIn, me: Me, labels: Mapping[str, str], about: Mapping[str, str]) -> None:
    """What was drafted about something, to be decided on, and a button for each kind that can be asked for."""
    for draft in client.get_all(sign_in, "/v1/drafts", about, most=20):
        if draft["state"] in OPEN and draft["kind"] in labels:
            show(sign_in, me, draft)
    if me.role not in _DECIDERS:
        return
    drafting = client.get(sign_in, "/v1/drafts/settings")
    if not drafting["is_on"]:
        st.caption(states.plain(drafting["off_because"]))
        return
    wish = st.text_input("What a draft shall say", key=f"wish {sorted(about.items())}", max_chars=500)
    for column, (kind, label) in zip(st.columns(len(labels)), labels.items(), strict=True):
        is_wanted = column.button(label, icon=":material/edit_note:", help="A language model writes, you decide.")
        if is_wanted and _write(sign_in, {"kind": kind, **about, "wish": wish.strip() or None}):
            st.rerun()


def _write(sign_in: SignIn, body: dict[str, Any]) -> bool:
    """Have it written, and show it as it is; whether it is there."""
    shown = st.empty()
    try:
        with st.spinner("Writing"):
            for name, data in client.stream(sign_in, "/v1/drafts/stream", body, key=str(uuid4())):
                if name == "text":
                    shown.text(data["text"])
    except (client.ConflictError, client.RefusedError) as error:
        states.refused(error)
        return False
    return True


def show(sign_in: SignIn, me: Me, draft: dict[str, Any]) -> None:
    """One draft, and what may be done with it."""
    with st.container(border=True):
        st.header(f"{_KINDS[draft['kind']]}, {OPEN[draft['state']]}")
        if draft.get("action"):
            st.text(f"What to do: {draft['action']}")
        may_decide = me.role in _DECIDERS
        text = st.text_area(
            "Text", draft["text"], key=f"text {draft['id']} {draft['version']}", disabled=not may_decide
        )
        cited = ", ".join(draft["cited"]) or "nothing"
        cost = draft["cost_micro"] / 1_000_000
        st.text(f"Written by {draft['model']} with prompt {draft['prompt']}, from {cited}; ${cost:.4f}.")
        if may_decide:
            _decide(sign_in, draft, text.strip())


def _decide(sign_in: SignIn, draft: dict[str, Any], text: str) -> None:
    path, is_reply = f"/v1/drafts/{draft['id']}", draft["kind"] == "reply"
    approve, keep, reject = st.columns(3)
    is_approved = approve.button(
        "Approve and send" if is_reply else "Approve", type="primary", key=f"approve {draft['id']}"
    )
    is_kept = keep.button("Save the text", key=f"keep {draft['id']}")
    is_rejected = reject.button("Reject", key=f"reject {draft['id']}")
    try:
        if (is_approved or is_kept) and text != draft["text"]:
            draft = client.patch(sign_in, path, {"text": text}, etag=f'"{draft["version"]}"').body
        if is_approved:
            # exactly what is shown here is approved: another text has another hash
            client.post(sign_in, f"{path}/approve", {"text_hash": draft["text_hash"]})
            if is_reply:
                client.post(sign_in, f"{path}/send")
        if is_rejected:
            client.post(sign_in, f"{path}/reject")
    except (client.ConflictError, client.StaleError, client.RefusedError) as error:
        states.refused(error)
        return
    if is_approved or is_kept or is_rejected:
        st.rerun()
