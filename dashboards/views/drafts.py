"""Drafts: what a model wrote and nobody has decided on yet; approve, change, send or reject it."""

from typing import Any

import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Drafts", icon="edit_note", group="Automate", position=4)

_KINDS = {"reply": "Reply", "next_action": "Next action", "summary": "Summary"}
_OPEN = {"generated": "nobody has looked at it", "edited": "changed, not approved", "approved": "approved"}
_DECIDERS = frozenset({"owner", "admin", "manager", "rep"})


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Drafts")
    with states.explained():
        drafts = [draft for draft in client.get_all(sign_in, "/v1/drafts", most=200) if draft["state"] in _OPEN]
        if not drafts:
            st.info("No draft waits for a decision. Ask for one in the inbox.", icon=":material/info:")
            return
        st.caption(f"{money.count(len(drafts))} wait for a decision. Nothing is sent that nobody approved.")
        for draft in drafts:
            _show(sign_in, draft, may_decide=me.role in _DECIDERS)


def _show(sign_in: SignIn, draft: dict[str, Any], *, may_decide: bool) -> None:
    with st.container(border=True):
        st.header(f"{_KINDS[draft['kind']]}, {_OPEN[draft['state']]}")
        text = st.text_area("Text", draft["text"], key=f"text {draft['id']}", disabled=not may_decide)
        cited = ", ".join(draft["cited"]) or "nothing"
        cost = draft["cost_micro"] / 1_000_000
        st.text(f"Written by {draft['model']} with prompt {draft['prompt']}, from {cited}; ${cost:.4f}.")
        if may_decide:
            _decide(sign_in, draft, text.strip())


def _decide(sign_in: SignIn, draft: dict[str, Any], text: str) -> None:
    path, left, right = f"/v1/drafts/{draft['id']}", *st.columns(2)
    is_reply = draft["kind"] == "reply"
    if left.button("Approve and send" if is_reply else "Approve", type="primary", key=f"approve {draft['id']}"):
        if text != draft["text"]:
            draft = client.patch(sign_in, path, {"text": text}, etag=f'"{draft["version"]}"').body
        # exactly what is shown here is approved: another text has another hash
        client.post(sign_in, f"{path}/approve", {"text_hash": draft["text_hash"]})
        if is_reply:
            client.post(sign_in, f"{path}/send")
        st.rerun()
    if right.button("Reject", key=f"reject {draft['id']}"):
        client.post(sign_in, f"{path}/reject")
        st.rerun()
