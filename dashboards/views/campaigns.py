"""Campaigns: build one, see whom it writes to and what they would read, start and pause it, and what came of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import streamlit as st

from contracts.calls import campaigns as calls
from contracts.calls.call import Call
from contracts.calls.schemas import CampaignRead
from dashboards import (
    campaign_building,
    campaign_progress,
    campaign_results,
    client,
    money,
    states,
    suppressions,
    tables,
)
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Campaigns", icon="campaign", group="Automate", position=3)

_WRITERS = frozenset({"owner", "admin", "manager", "rep"})
_ADMINISTRATORS = frozenset({"owner", "admin"})
_VERBS = {"running": ("pause", "cancel"), "paused": ("resume", "cancel"), "draft": ("start",)}
_MOVES: Mapping[str, Callable[[str], Call[CampaignRead]]] = {
    "start": calls.start_campaign,
    "pause": calls.pause_campaign,
    "resume": calls.resume_campaign,
    "cancel": calls.cancel_campaign,
}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Campaigns", anchor=False)
    with states.explained():
        campaigns = {one["id"]: one for one in client.ask_all(who, partial(calls.list_campaigns, limit=100), most=200)}
        may_write = me.role in _WRITERS
        if may_write:
            _new(who)
        if not campaigns:
            states.nothing_here("No campaign yet", "Nothing is sent before somebody starts one.")
            return
        chosen = _choose(campaigns)
        campaign = client.ask(who, calls.read_campaign(chosen))
        if may_write:
            _control(who, campaign)
        build, audience, preview, progress, results = st.tabs(["Build", "Audience", "Preview", "Progress", "Results"])
        # what is wrong with one of them is no reason not to mend it in another
        with build, states.explained():
            campaign_building.show(who, campaign, may_write=may_write)
        with audience, states.explained():
            _audience(who, chosen, may_write=may_write)
        with preview, states.explained():
            _preview(who, chosen)
        with progress, states.explained():
            campaign_progress.show(who, campaign, me.organization.zone, may_write=may_write)
        with results, states.explained():
            campaign_results.show(who, chosen)
        if me.role in _ADMINISTRATORS:
            suppressions.show(who)


def _new(who: SignIn) -> None:
    with st.expander("New campaign"), st.form("campaign_new", clear_on_submit=True):
        name = st.text_input("Name", max_chars=120)
        if st.form_submit_button("Create") and name.strip():
            made = client.ask(
                who, calls.create_campaign({"name": name.strip(), "steps": [campaign_building.FIRST_STEP]})
            )
            st.query_params["id"] = str(made["id"])


def _choose(campaigns: dict[str, CampaignRead]) -> str:
    ids = list(campaigns)
    asked = st.query_params.get("id")
    index = ids.index(asked) if asked in ids else 0
    chosen = st.selectbox("Campaign", ids, index=index, format_func=lambda one: campaigns[one]["name"])
    st.query_params["id"] = str(chosen)
    return str(chosen)


def _control(who: SignIn, campaign: CampaignRead) -> None:
    st.text(f"State of this campaign: {campaign['state']}.")
    for column, verb in zip(st.columns(4), _VERBS.get(campaign["state"], ()), strict=False):
        if verb == "cancel":
            with column.popover("Cancel"):
                st.text("It ends for everybody and cannot go on. What waits to be sent is taken back.")
                is_wanted = st.button("Cancel it for good", key="campaign cancel")
        else:
            kind: Literal["primary", "secondary"] = "primary" if verb == "start" else "secondary"
            is_wanted = column.button(verb.capitalize(), key=f"campaign {verb}", type=kind)
        if is_wanted:
            _move(who, _MOVES[verb](campaign["id"]))


def _move(who: SignIn, call: Call[CampaignRead]) -> None:
    try:
        client.ask(who, call)
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
        for place, problem in getattr(refused, "fields", {}).items():
            st.text(f"{place}: {problem}")
    else:
        st.rerun()


def _audience(who: SignIn, campaign_id: str, *, may_write: bool) -> None:
    found = client.ask(who, calls.read_campaign_audience(campaign_id))
    included, excluded = st.columns(2)
    included.metric("Would be written to", money.count(found["included"]))
    excluded.metric("Left out", money.count(found["excluded"]))
    for reason, count in found["reasons"].items():
        st.text(f"{money.count(count)}: {campaign_progress.why(reason)}")
    people = [
        {
            "Name": one["name"],
            "Address": ", ".join(one["addresses"].values()),
            "Left out because": campaign_progress.why(one["reason"]),
        }
        for one in found["people"]
    ]
    if people:
        tables.show(people, alt="People of the audience, those left out first")
    silent = {one["contact_id"]: one["name"] for one in found["people"] if one["reason"] == "no_consent"}
    if may_write and silent:
        _note_consent(who, silent)


def _note_consent(who: SignIn, silent: dict[str, str]) -> None:
    """Where consent is the ground: note it for one who gave it."""
    with st.form("campaign_consent", clear_on_submit=True):
        contact = st.selectbox("Who agreed to be written to", list(silent), format_func=silent.__getitem__)
        source = st.text_input("How they agreed, for example on which form", max_chars=200)
        if st.form_submit_button("Note their consent") and source.strip():
            client.ask(who, calls.create_consent({"contact_id": contact, "source": source.strip()}))
            st.rerun()


def _preview(who: SignIn, campaign_id: str) -> None:
    people = {
        one["contact_id"]: one["name"] for one in client.ask(who, calls.read_campaign_audience(campaign_id))["people"]
    }
    if not people:
        states.nothing_here("Nobody in the audience", "Choose a view with contacts.")
        return
    contact = st.selectbox("As", list(people), format_func=people.__getitem__, key="campaign_preview")
    found = client.ask(who, calls.preview_campaign(campaign_id, contact_id=contact))
    for one in found["wordings"]:
        with st.container(border=True):
            st.caption(f"Step {one['step']}, {one['kind']}, wording {one['variant']}")
            if one.get("address"):
                st.text(f"From {one['sender'] or 'no account yet'} to {one['address']}")
            if one["missing"]:
                st.warning(f"They lack {', '.join(one['missing'])}: the campaign does not start so.")
            if one["subject"]:
                st.text(one["subject"])
            st.text(one["text"])
            if one.get("html"):
                st.caption("In a mail program that shows HTML:")
                st.html(one["html"])  # the API has taken out all that runs or fetches anything
