"""Drafts: what a model wrote and nobody has decided on yet, and what came of those that were."""

import streamlit as st

from dashboards import client, drafting, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Drafts", icon="edit_note", group="Automate", position=4)

_STEPS = {
    "generated": "Written",
    "approved": "Approved",
    "sent": "Sent",
    "replied": "Answered",
    "moved": "Deal moved",
    "rejected": "Rejected",
}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Drafts")
    with states.explained():
        _cost(sign_in)
        waiting, results = st.tabs(["To decide", "Results"])
        with waiting:
            _waiting(sign_in, me)
        with results:
            for by, title in (("prompt", "By prompt"), ("model", "By model")):
                _results(sign_in, by, title)


def _cost(sign_in: SignIn) -> None:
    found = client.get(sign_in, "/v1/drafts/settings")
    spent, budget = (found[name] / 1_000_000 for name in ("spent_micro", "budget_micro"))
    st.caption(f"This month's drafts cost \\${spent:.2f} of \\${budget:.2f}. Nothing is sent that nobody approved.")
    if not found["is_on"]:
        st.info(states.plain(found["off_because"]), icon=":material/info:")


def _waiting(sign_in: SignIn, me: Me) -> None:
    drafts = [
        draft
        for draft in client.get_all(sign_in, "/v1/drafts", most=200)
        # what is not sent needs nothing more once it is approved
        if draft["state"] in drafting.OPEN and (draft["kind"] == "reply" or draft["state"] != "approved")
    ]
    if not drafts:
        st.info("No draft waits for a decision. Ask for one in the inbox, or at a deal.", icon=":material/info:")
        return
    for draft in drafts:
        drafting.show(sign_in, me, draft)


def _results(sign_in: SignIn, by: str, title: str) -> None:
    st.header(title)
    answer = client.figures(sign_in, "draft_outcomes", {"group_by": by})
    rows = [row for row in answer.rows if row.get("stage_id") in _STEPS]
    if not rows:
        states.nothing_here("No results yet", "They follow within five minutes of the first draft.")
        return
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        line = found.setdefault(row["group"], {title.removeprefix("By ").capitalize(): row["group"]})
        line[_STEPS[row["stage_id"]]] = money.count(row["entered"])
    st.dataframe(list(found.values()), hide_index=True, alt=f"How far drafts came, {title.lower()}")
