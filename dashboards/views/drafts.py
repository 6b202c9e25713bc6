"""Drafts: what a model wrote and nobody has decided on yet, and what came of those that were."""

from functools import partial

import streamlit as st

from contracts.calls import drafts as calls
from contracts.calls.schemas import DraftingRead, PolicyBody
from dashboards import client, drafting, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Drafts", icon="edit_note", group="Automate", position=4)

_FAILED = 20
_ADMINISTRATORS = frozenset({"owner", "admin"})
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
        _cost(sign_in, me)
        waiting, results = st.tabs(["To decide", "Results"])
        with waiting:
            _waiting(sign_in, me)
            _failed(sign_in)
        with results:
            for by, title in (("prompt", "By prompt"), ("model", "By model")):
                _results(sign_in, by, title)


def _cost(sign_in: SignIn, me: Me) -> None:
    found = client.ask(sign_in, calls.read_drafting())
    spent, budget = found["spent_micro"] / 1_000_000, found["budget_micro"] / 1_000_000
    st.caption(f"This month's drafts cost \\${spent:.2f} of \\${budget:.2f}. Nothing is sent that nobody approved.")
    if not found["is_on"]:
        st.info(states.plain(found["off_because"] or ""), icon=":material/info:")
    if me.role in _ADMINISTRATORS:
        with st.expander("What drafts may cost and see"):
            _policy(sign_in, found)


def _policy(sign_in: SignIn, found: DraftingRead) -> None:
    """What the organization chooses, within what its operator allows."""
    policy, most = found["policy"], found["operator_budget_micro"] / 1_000_000
    with st.form("drafting_policy"):
        budget = st.number_input("Dollars a month, at most", 0.0, most, found["budget_micro"] / 1_000_000, step=1.0)
        hides = st.checkbox(
            "Hide people from the model: names, addresses and numbers stay here", value=found["hides_people"]
        )
        hosts = st.text_area(
            "Hosts that links in drafts may lead to, one a line", "\n".join(policy.get("link_hosts", []))
        )
        if not st.form_submit_button("Keep"):
            return
    spent = round(budget * 1_000_000)
    budget_micro = spent if spent < found["operator_budget_micro"] else None
    body: PolicyBody = {"monthly_budget": budget_micro, "hides_people": hides, "link_hosts": hosts.split()}
    try:
        client.ask(sign_in, calls.set_drafting_policy(body))
    except client.RefusedError as refused:
        states.refused(refused)
    else:
        st.rerun()


def _waiting(sign_in: SignIn, me: Me) -> None:
    drafts = [
        draft
        for draft in client.ask_all(sign_in, partial(calls.list_drafts, limit=100), most=200)
        # what is not sent needs nothing more once it is approved
        if draft["state"] in drafting.OPEN and (draft["kind"] == "reply" or draft["state"] != "approved")
    ]
    if not drafts:
        st.info("No draft waits for a decision. Ask for one in the inbox, or at a deal.", icon=":material/info:")
        return
    for draft in drafts:
        drafting.show(sign_in, me, draft, is_away=True)


def _failed(sign_in: SignIn) -> None:
    """Drafts that were asked for and not written, also by a rule while nobody looked."""
    failed = client.ask_all(sign_in, partial(calls.list_drafts, state="failed", limit=_FAILED), most=_FAILED)
    if failed:
        with st.expander(f"Not written ({money.count(len(failed))})"):
            for draft in failed:
                st.text(f"{drafting.prompt_name(draft['prompt'])}: {draft['failure']}")


def _results(sign_in: SignIn, by: str, title: str) -> None:
    st.header(title)
    answer = client.figures(sign_in, "draft_outcomes", {"group_by": by})
    # before the first draft the steps are there, of nothing
    rows = [row for row in answer.rows if row.get("stage_id") in _STEPS and row["group"] is not None]
    if not rows:
        states.nothing_here("No results yet", "They follow within five minutes of the first draft.")
        return
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        named = drafting.prompt_name(row["group"]) if by == "prompt" else row["group"]
        line = found.setdefault(row["group"], {title.removeprefix("By ").capitalize(): named})
        line[_STEPS[row["stage_id"]]] = f"{money.count(row['entered'])} ({money.share(row['share_of_cohort'])})"
    tables.show(list(found.values()), alt=f"How far drafts came, {title.lower()}")
