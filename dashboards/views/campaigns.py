"""Campaigns: build one, see whom it writes to and what they would read, start and pause it, and what came of it."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import campaign_building, client, money, sentences, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Campaigns", icon="campaign", group="Automate", position=3)

_WRITERS = frozenset({"owner", "admin", "manager", "rep"})
_REASONS = {
    "no_address": "No address on a channel of the campaign",
    "same_address": "Another contact has the same address",
    "suppressed": "Unsubscribed, or mail to them came back",
    "no_consent": "No consent is noted",
    "in_another_campaign": "In another campaign that runs",
    "colleague_replied": "A colleague of theirs has answered",
}
_STATES = {"waiting": "Waiting", "under_way": "Being sent", "ended": "Ended", "excluded": "Excluded"}
_VERBS = {"running": ("pause", "cancel"), "paused": ("resume", "cancel"), "draft": ("start",)}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Campaigns", anchor=False)
    with states.explained():
        campaigns = {one["id"]: one for one in client.get_all(who, "/v1/campaigns", most=200)}
        may_write = me.role in _WRITERS
        if may_write:
            _new(who)
        if not campaigns:
            states.nothing_here("No campaign yet", "Nothing is sent before somebody starts one.")
            return
        chosen = _choose(campaigns)
        campaign = client.get(who, f"/v1/campaigns/{chosen}")
        if may_write:
            _control(who, campaign.body)
        build, audience, preview, progress, results = st.tabs(["Build", "Audience", "Preview", "Progress", "Results"])
        with build:
            campaign_building.show(who, campaign, may_write=may_write)
        with audience:
            _audience(who, chosen)
        with preview:
            _preview(who, chosen)
        with progress:
            _progress(who, chosen, me.organization.zone)
        with results:
            _results(who, chosen)


def _new(who: SignIn) -> None:
    with st.expander("New campaign"), st.form("campaign_new", clear_on_submit=True):
        name = st.text_input("Name", max_chars=120)
        if st.form_submit_button("Create") and name.strip():
            made = client.post(who, "/v1/campaigns", {"name": name.strip(), "steps": [campaign_building.FIRST_STEP]})
            st.query_params["id"] = str(made["id"])


def _choose(campaigns: dict[str, Any]) -> str:
    ids = list(campaigns)
    asked = st.query_params.get("id")
    index = ids.index(asked) if asked in ids else 0
    chosen = st.selectbox("Campaign", ids, index=index, format_func=lambda one: campaigns[one]["name"])
    st.query_params["id"] = str(chosen)
    return str(chosen)


def _control(who: SignIn, campaign: dict[str, Any]) -> None:
    st.text(f"This campaign is {campaign['state']}.")
    for column, verb in zip(st.columns(4), _VERBS.get(campaign["state"], ()), strict=False):
        if column.button(verb.capitalize(), key=f"campaign {verb}", type="primary" if verb == "start" else "secondary"):
            try:
                client.post(who, f"/v1/campaigns/{campaign['id']}/{verb}")
            except (client.RefusedError, client.ConflictError) as refused:
                states.refused(refused)
            else:
                st.rerun()


def _audience(who: SignIn, campaign_id: str) -> None:
    found = client.get(who, f"/v1/campaigns/{campaign_id}/audience").body
    included, excluded = st.columns(2)
    included.metric("Would be written to", money.count(found["included"]))
    excluded.metric("Left out", money.count(found["excluded"]))
    for reason, count in found["reasons"].items():
        st.text(f"{money.count(count)}: {_REASONS.get(reason, reason)}")
    people = [
        {
            "Name": one["name"],
            "Address": ", ".join(one["addresses"].values()),
            "Left out because": _REASONS.get(one["reason"], one["reason"] or ""),
        }
        for one in found["people"]
    ]
    if people:
        st.dataframe(people, hide_index=True, alt="People of the audience, those left out first")


def _preview(who: SignIn, campaign_id: str) -> None:
    people = {
        one["contact_id"]: one["name"]
        for one in client.get(who, f"/v1/campaigns/{campaign_id}/audience").body["people"]
    }
    if not people:
        states.nothing_here("Nobody in the audience", "Choose a view with contacts.")
        return
    contact = st.selectbox("As", list(people), format_func=people.__getitem__, key="campaign_preview")
    found = client.get(who, f"/v1/campaigns/{campaign_id}/preview", {"contact_id": contact}).body
    for one in found["wordings"]:
        with st.container(border=True):
            st.caption(f"Step {one['step']}, {one['kind']}, variant {one['variant']}")
            if one["missing"]:
                st.warning(f"They lack {', '.join(one['missing'])}: the campaign does not start so.")
            if one["subject"]:
                st.text(one["subject"])
            st.text(one["text"])
            if one.get("html"):
                st.code(one["html"], language="html", wrap_lines=True)


def _progress(who: SignIn, campaign_id: str, zone: ZoneInfo) -> None:
    found = client.get(who, f"/v1/campaigns/{campaign_id}/progress").body
    if not found["recipients"]:
        states.nothing_here("It has not started", "Whom it writes to is decided when it starts.")
        return
    unknown = sum(one["touches"] for one in found["touches"] if one["state"] == "unknown")
    if unknown:
        st.warning(
            f"Of {money.count(unknown)} messages nobody knows whether they arrived. Decide on them in the inbox."
        )
    st.dataframe(
        [
            {
                "Recipients": _STATES[one["state"]],
                "Why": _REASONS.get(one["why"], (one["why"] or "").replace("_", " ")),
                "How many": one["recipients"],
                "Answered": one["replied"],
                "Next at": money.moment(datetime.fromisoformat(one["next_at"]), zone) if one["next_at"] else "",
            }
            for one in found["recipients"]
        ],
        hide_index=True,
        alt="Recipients by how they stand",
    )
    if found["touches"]:
        st.dataframe(
            [
                {
                    "Step": one["step"],
                    "Variant": one["variant"].replace("_", " "),
                    "State": one["state"].replace("_", " "),
                    "How many": one["touches"],
                }
                for one in found["touches"]
            ],
            hide_index=True,
            alt="Steps by variant and state",
        )


def _results(who: SignIn, campaign_id: str) -> None:
    rows = client.figures(who, "campaign_experiment", {"group_by": "arm"}).rows
    trials = [one for one in rows if one["campaign_id"] == campaign_id]
    if not trials:
        states.nothing_here("No results yet", "They follow within five minutes of the first message.")
        return
    for one in trials:
        if (said := sentences.trial(one)) is not None:
            st.text(said)
    st.dataframe(
        [
            {
                "Step": one["step"],
                "Variant": one["variant"].replace("_", " "),
                "What": sentences.OUTCOMES[one["stage_id"]],
                "Of": one["cohort"],
                "Came true": one["entered"],
                "Share": money.share(one["rate"]),
            }
            for one in trials
        ],
        hide_index=True,
        alt="What came of each variant",
    )
