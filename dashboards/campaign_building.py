"""Builds a campaign: on what ground, to whom, from which accounts, when, and in which steps."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import streamlit as st

from contracts.calls import bd_accounts, campaigns, views
from contracts.calls.schemas import CampaignRead, CampaignUpdate, Step, Variant
from dashboards import client, states
from dashboards.session import SignIn

Json = dict[str, Any]

#: What a new campaign, and each step that is added, begins with.
FIRST_STEP: Step = {
    "kind": "email",
    "variants": [{"subject": "A question", "text": "Hello {{contact.first_name | there}},"}],
}

_BASES: Mapping[str | None, str] = {
    None: "Not said yet",
    "consent": "Consent: they agreed",
    "contract": "Contract: it is about what they bought",
    "legitimate_interest": "Legitimate interest: say which",
}
_KINDS = {"email": "E-mail", "telegram": "Telegram", "task": "A task for the owner"}
_OTHERWISE = {"skip": "go on with the next step", "stop": "get nothing more"}
_DAYS = {1: "Mon", 2: "Tue", 3: "Wed", 4: "Thu", 5: "Fri", 6: "Sat", 7: "Sun"}
_FIELDS = (
    "Fields such as {{contact.first_name | there}}, {{company.name}}, {{deal.title}} and {{sender.name}} are filled in;"
    " what stands after the bar is for people who lack the field. Every mail ends with a link to get no more of them."
)


def show(who: SignIn, campaign: CampaignRead, *, may_write: bool) -> None:
    """Draw the form; a campaign that has started only shows what it is."""
    is_open = may_write and campaign["state"] == "draft"
    with st.form(f"campaign_build_{campaign['id']}_{campaign['version']}"):
        body = _ground(who, campaign, is_open=is_open) | _times(campaign, is_open=is_open)
        st.caption(states.plain(_FIELDS))
        # fields with keys outlive their form: those of another campaign, or of what somebody saved since, are others
        drawn = f"{campaign['id']} {campaign['version']}"
        body["steps"] = [
            _step(step, place, drawn, is_open=is_open) for place, step in enumerate(campaign["steps"], start=1)
        ]
        is_saved = st.form_submit_button("Save", type="primary", disabled=not is_open)
        add, wording, remove = st.columns(3)
        is_added = add.form_submit_button("Save and add a step", disabled=not is_open)
        is_worded = wording.form_submit_button("Save and add a wording to the last step", disabled=not is_open)
        is_removed = remove.form_submit_button("Save without the last step", disabled=not is_open)
    if is_added:
        body["steps"].append({**FIRST_STEP, "wait_days": 3.0})
    elif is_removed:
        body["steps"].pop()
    elif is_worded and body["steps"]:
        body["steps"][-1]["variants"].append(dict(body["steps"][-1]["variants"][-1]))
    if is_saved or is_added or is_removed or is_worded:
        _save(who, campaign, body)


def _save(who: SignIn, campaign: CampaignRead, body: Json) -> None:
    try:
        changes = cast("CampaignUpdate", body)
        client.ask(who, campaigns.update_campaign(campaign["id"], changes, version=campaign["version"]))
    except client.StaleError:
        st.error("Somebody changed this campaign since you opened it. Reload the page to see their version.")
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
        for place, problem in getattr(refused, "fields", {}).items():
            st.text(f"{place}: {problem}")
    else:
        st.rerun()


def _ground(who: SignIn, campaign: CampaignRead, *, is_open: bool) -> Json:
    """Why, to whom and from where."""
    listing = partial(views.list_views, record_kind="contact", limit=100)
    saved = {one["id"]: one["name"] for one in client.ask_all(who, listing)}
    mailboxes = client.ask_all(who, partial(bd_accounts.list_bd_accounts, limit=100))
    accounts = {one["id"]: f"{one['name']} ({one['channel']})" for one in mailboxes}
    if campaign["view_id"] is not None:
        # whoever saves another field does not turn it into everybody
        saved.setdefault(campaign["view_id"], "A view that was deleted, or is not yours")
    for one in campaign["account_ids"]:
        accounts.setdefault(one, "An account that is not there any more, or not yours")
    bases, chosen = list(_BASES), [None, *saved]
    name = st.text_input("Name", campaign["name"], max_chars=120, disabled=not is_open)
    basis = st.selectbox(
        "On what ground", bases, index=bases.index(campaign["legal_basis"]), disabled=not is_open,
        format_func=_BASES.__getitem__,
    )  # fmt: skip
    note = st.text_area("Why that holds", campaign["basis_note"] or "", disabled=not is_open, height=70)
    view = st.selectbox(
        "Audience: a saved view of contacts", chosen, disabled=not is_open,
        index=chosen.index(campaign["view_id"]),
        format_func=lambda one: saved.get(one, "All contacts that you see"),
    )  # fmt: skip
    senders = st.multiselect(
        "Accounts to send from", list(accounts), campaign["account_ids"],
        format_func=accounts.__getitem__, disabled=not is_open,
    )  # fmt: skip
    stops = st.checkbox(
        "One who answers ends it for their company", campaign.get("stops_company", True), disabled=not is_open
    )
    away = st.number_input(
        "Days without a message to whoever is away", 1, 60, campaign.get("away_days", 7), disabled=not is_open
    )
    ground = {"name": name.strip(), "legal_basis": basis, "basis_note": note.strip() or None}
    return ground | {"view_id": view, "account_ids": senders, "stops_company": stops, "away_days": int(away)}


def _times(campaign: CampaignRead, *, is_open: bool) -> Json:
    """When, by the clock where people are, and how many on a day."""
    hours, pace = campaign["hours"], campaign["pace"]
    left, right, week = st.columns([1, 1, 3])
    opens = left.text_input("From", hours["opens"], max_chars=5, disabled=not is_open)
    closes = right.text_input("To", hours["closes"], max_chars=5, disabled=not is_open)
    days = week.multiselect(
        "On", list(_DAYS), [day for day in hours["days"] if day in _DAYS], format_func=_DAYS.__getitem__,
        disabled=not is_open,
    )  # fmt: skip
    first, growth, most = st.columns(3)
    given = {
        "first_day": first.number_input("People on the first day", 1, 100_000, pace["first_day"], disabled=not is_open),
        "growth_percent": growth.number_input(
            "More on each day, in percent", 0, 200, pace["growth_percent"], disabled=not is_open
        ),
        "most": most.number_input("Never more on a day than", 1, 100_000, pace["most"], disabled=not is_open),
    }
    return {"hours": {"opens": opens.strip(), "closes": closes.strip(), "days": sorted(days)}, "pace": given}


def _step(step: Step, place: int, drawn: str, *, is_open: bool) -> Json:
    """One step with its wordings; `drawn` says of which campaign, and how often it was saved."""
    with st.container(border=True):
        st.header(f"Step {place}")
        kind_at, wait_at, held_at = st.columns(3)
        kinds, ways = list(_KINDS), list(_OTHERWISE)
        kind = kind_at.selectbox(
            "By", kinds, kinds.index(step["kind"]), format_func=_KINDS.__getitem__, key=f"kind {place} {drawn}",
            disabled=not is_open,
        )  # fmt: skip
        wait = wait_at.number_input(
            "Days after the step before", 0.0, 365.0, float(step.get("wait_days", 0)), key=f"wait {place} {drawn}",
            disabled=not is_open,
        )  # fmt: skip
        held = held_at.number_input(
            "Percent who get nothing, to compare", 0, 50, step.get("hold_out_percent", 0), key=f"held {place} {drawn}",
            disabled=not is_open,
        )  # fmt: skip
        when = st.text_input(
            "Only if", step.get("when", ""), key=f"when {place} {drawn}", disabled=not is_open, max_chars=2_000,
            placeholder="deal.amount > 10000.0",
        )  # fmt: skip
        otherwise = st.selectbox(
            "The others", ways, ways.index(step.get("otherwise", "skip")), format_func=_OTHERWISE.__getitem__,
            key=f"otherwise {place} {drawn}", disabled=not is_open,
        )  # fmt: skip
        variants = [
            _wording(variant, letter, kind, f"{place}{letter} {drawn}", is_open=is_open)
            for letter, variant in zip("ABCDE", step["variants"], strict=False)
        ]
    made = {"kind": kind, "wait_days": wait, "hold_out_percent": int(held), "when": when.strip()}
    return made | {"otherwise": otherwise, "variants": variants}


def _wording(variant: Variant, letter: str, kind: str, key: str, *, is_open: bool) -> Json:
    """One wording of a step."""
    st.text(f"Wording {letter}")
    subject = st.text_input(
        "Subject, or title of the task", variant.get("subject") or "", key=f"subject {key}", disabled=not is_open
    )
    text = st.text_area("Text", variant["text"], key=f"words {key}", disabled=not is_open)
    html = st.text_area(
        "The same as HTML, if wanted", variant.get("html") or "", key=f"html {key}", disabled=not is_open, height=70
    )
    weight = st.number_input(
        "Its part among the wordings", 1, 100, variant.get("weight", 1), key=f"weight {key}", disabled=not is_open
    )
    made: Json = {"subject": subject.strip() or None, "text": text, "weight": int(weight)}
    return made | ({"html": html.strip() or None} if kind == "email" else {})
