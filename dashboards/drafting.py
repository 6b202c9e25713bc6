"""Drafts wherever people ask for them and decide on them: in a conversation, at a deal, on their own page.

What a model wrote is text, never Markdown. Nothing of it is sent before somebody approves exactly what is shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from contracts.calls import drafts as calls
from contracts.calls.schemas import DraftCreate, DraftKind, DraftRead
from dashboards import client, states
from dashboards.answers import Me
from dashboards.session import SignIn

OPEN = {"generated": "nobody has looked at it", "edited": "changed, not approved", "approved": "approved"}

_KINDS = {"reply": "Reply", "next_action": "Next action", "summary": "Summary"}
_DECIDERS = frozenset({"owner", "admin", "manager", "rep"})


def panel(
    sign_in: SignIn,
    me: Me,
    labels: Mapping[DraftKind, str],
    *,
    conversation_id: str | None = None,
    deal_id: str | None = None,
) -> None:
    """What was drafted about something, to be decided on, and a button for each kind that can be asked for."""
    for draft in client.ask(sign_in, calls.list_drafts(conversation_id=conversation_id, deal_id=deal_id, limit=20))[
        "items"
    ]:
        if draft["state"] in OPEN and draft["kind"] in labels:
            show(sign_in, me, draft)
    if me.role not in _DECIDERS:
        return
    drafting = client.ask(sign_in, calls.read_drafting())
    if not drafting["is_on"]:
        st.caption(states.plain(drafting["off_because"] or ""))
        return
    wish = st.text_input("What a draft shall say", key=f"wish {conversation_id or deal_id}", max_chars=500)
    for column, (kind, label) in zip(st.columns(len(labels)), labels.items(), strict=True):
        is_wanted = column.button(label, icon=":material/edit_note:", help="A language model writes, you decide.")
        body: DraftCreate = {
            "kind": kind,
            "conversation_id": conversation_id,
            "deal_id": deal_id,
            "wish": wish.strip() or None,
        }
        if is_wanted and _write(sign_in, body):
            st.rerun()


def _write(sign_in: SignIn, body: DraftCreate) -> bool:
    """Have it written, and show it as it is; whether it is there."""
    shown = st.empty()
    try:
        with st.spinner("Writing"):
            for name, data in client.stream(sign_in, calls.stream_draft(body), key=str(uuid4())):
                if name == "text":
                    shown.text(data["text"])
    except (client.ConflictError, client.RefusedError) as error:
        states.refused(error)
        return False
    return True


def show(sign_in: SignIn, me: Me, draft: DraftRead, *, is_away: bool = False) -> None:
    """One draft, and what may be done with it; `is_away` from what it is about, with a way there."""
    with st.container(border=True):
        st.header(f"{_KINDS[draft['kind']]}, {OPEN[draft['state']]}")
        if draft.get("action"):
            st.text(f"What to do: {draft['action']}")
        may_decide = me.role in _DECIDERS
        text = st.text_area(
            "Text", draft["text"], key=f"text {draft['id']} {draft['version']}", disabled=not may_decide
        )
        st.text(origin(draft))
        if is_away and draft.get("conversation_id"):
            st.link_button("Open the conversation", f"/inbox?id={draft['conversation_id']}")
        elif is_away and draft.get("deal_id"):
            st.link_button("Open the deal", f"/deals?id={draft['deal_id']}")
        if may_decide:
            _decide(sign_in, draft, text.strip())


_FACTS = {
    "conversation.channel": "the channel",
    "conversation.subject": "the subject",
    "deal.title": "the deal's title",
    "deal.stage": "the deal's stage",
    "deal.pipeline": "the deal's pipeline",
    "deal.state": "whether the deal is open",
    "deal.created_at": "when the deal began",
    "deal.amount_in_minor_units": "the deal's amount",
    "deal.close_date": "the deal's close date",
    "deal.company": "the company",
}


def origin(draft: Mapping[str, Any]) -> str:
    """Who wrote it, from what, told how and for how much; the fingerprint is of all that was given."""
    cost = draft["cost_micro"] / 1_000_000
    paid = f"It cost ${cost:.4f}." if cost else "It cost nothing."
    given = f" What it was given has the fingerprint {draft['inputs_hash'][:12]}." if draft.get("inputs_hash") else ""
    told = prompt_name(draft["prompt"])
    return f"Written by {draft['model']} from {_cited(draft['cited'])}. {paid} Its instructions: {told}.{given}"


def prompt_name(prompt: str) -> str:
    """A prompt as people say it: `next_action@2` is "Next action, version 2"."""
    kind, _, version = prompt.partition("@")
    return f"{_KINDS.get(kind, kind)}, version {version}"


def _cited(names: Sequence[str]) -> str:
    numbers = sorted(int(name.removeprefix("message.")) for name in names if name.startswith("message."))
    said = [_FACTS.get(name, name) for name in names if not name.startswith("message.")]
    said += [f"message {number}" for number in numbers]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else "".join(said) or "nothing that it names"


def _decide(sign_in: SignIn, draft: DraftRead, text: str) -> None:
    is_reply = draft["kind"] == "reply"
    approve, keep, reject = st.columns(3)
    is_approved = approve.button(
        "Approve and send" if is_reply else "Approve", type="primary", key=f"approve {draft['id']}"
    )
    is_kept = keep.button("Save the text", key=f"keep {draft['id']}")
    is_rejected = reject.button("Reject", key=f"reject {draft['id']}")
    try:
        if (is_approved or is_kept) and text != draft["text"]:
            draft = client.ask(sign_in, calls.update_draft(draft["id"], {"text": text}, version=draft["version"]))
        if is_approved:
            # exactly what is shown here is approved: another text has another hash
            client.ask(sign_in, calls.approve_draft(draft["id"], {"text_hash": draft["text_hash"]}))
            if is_reply:
                client.ask(sign_in, calls.send_draft(draft["id"]))
        if is_rejected:
            client.ask(sign_in, calls.reject_draft(draft["id"]))
    except (client.ConflictError, client.StaleError, client.RefusedError) as error:
        states.refused(error)
        return
    if is_approved or is_kept or is_rejected:
        st.rerun()
