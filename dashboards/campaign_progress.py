"""How far a campaign is: what holds it up, how its recipients stand, and ending it for some of them."""

from datetime import datetime
from functools import partial
from typing import get_args
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import campaigns
from contracts.calls.schemas import CampaignRead, ProgressRead, RecipientRead, RecipientState, StopWrite
from dashboards import client, money, states, tables
from dashboards.session import SignIn

REASONS = {
    "no_address": "No address on a channel of the campaign",
    "same_address": "Another contact has the same address",
    "suppressed": "Unsubscribed, or mail to them came back",
    "no_consent": "No consent is noted",
    "in_another_campaign": "In another campaign that runs",
    "colleague_replied": "A colleague of theirs has answered",
    "by_hand": "Somebody ended it for them",
    "erased": "Erased on their demand",
    "missing_field": "They lack a field that a text names",
}
_STATES = {
    "waiting": "Waiting",
    "under_way": "Being sent",
    "ended": "Ended",
    "excluded": "Left out",
}
_TOUCHES = {
    "queued": "Waits to be sent",
    "sent": "Sent",
    "failed": "Failed",
    "unknown": "Nobody knows",
    "held_out": "Held out",
    "skipped": "Left out by its condition",
}
_ACCOUNTS = {
    "connecting": "is being connected",
    "active": "works",
    "limited": "is restricted by its provider",
    "flood_wait": "waits, as its provider asked",
    "banned": "was closed by its provider; what it began cannot go on",
    "revoked": "is disconnected; what it began cannot go on",
}
_ACTIVE = ("waiting", "under_way")
_MOST = 200


def show(who: SignIn, campaign: CampaignRead, zone: ZoneInfo, *, may_write: bool) -> None:
    """Draw it; before it has started there is nothing."""
    found = client.ask(who, campaigns.read_campaign_progress(campaign["id"]))
    if not found["recipients"]:
        states.nothing_here("It has not started", "Whom it writes to is decided when it starts.")
        return
    if campaign["state"] == "running":
        _pace(found, zone)
    unknown = sum(one["touches"] for one in found["touches"] if one["state"] == "unknown")
    if unknown:
        st.warning(
            f"Of {money.count(unknown)} messages nobody knows whether they arrived. Decide on them in the inbox."
        )
    _standing(found, zone)
    _recipients(who, campaign["id"], zone, may_write=may_write)


def _pace(found: ProgressRead, zone: ZoneInfo) -> None:
    """How many may be begun today, and by which account."""
    begun, allowance = money.count(found["begun"]), money.count(found["allowance"])
    st.text(
        f"Begun within a day: {begun} of the {allowance} messages that it may begin by now; the number grows daily."
    )
    for account in found["accounts"]:
        until = f" until {money.moment(datetime.fromisoformat(account['until']), zone)}" if account["until"] else ""
        room = f", and may begin {money.count(account['room'])} more messages today"
        st.text(
            f"{account['name']} {_ACCOUNTS[account['state']]}{until}{room if account['state'] == 'active' else ''}."
        )


def _standing(found: ProgressRead, zone: ZoneInfo) -> None:
    tables.show(
        [
            {
                "Recipients": _STATES[one["state"]],
                "Why": why(one["why"]),
                "How many": one["recipients"],
                "Answered": one["replied"],
                "Next at": money.moment(datetime.fromisoformat(one["next_at"]), zone) if one["next_at"] else "",
            }
            for one in found["recipients"]
        ],
        alt="Recipients by how they stand",
    )
    if found["touches"]:
        tables.show(
            [
                {
                    "Step": one["step"],
                    "Variant": one["variant"].replace("_", " "),
                    "State": _TOUCHES[one["state"]],
                    "How many": one["touches"],
                }
                for one in found["touches"]
            ],
            alt="Steps by variant and state",
        )


def why(reason: str | None) -> str:
    """A reason or ending in words."""
    return REASONS.get(reason or "", (reason or "").replace("_", " ").capitalize())


def _recipients(who: SignIn, campaign_id: str, zone: ZoneInfo, *, may_write: bool) -> None:
    """Who they are, one by one, and ending it for one or for all of a company."""
    st.header("People")
    state: RecipientState | None = st.selectbox(
        "Show",
        [None, *get_args(RecipientState)],
        format_func=lambda one: _STATES[one] if one else "Everybody",
        key=f"people {campaign_id}",
    )
    listing = partial(campaigns.list_campaign_recipients, campaign_id, state=state, limit=100)
    people = client.ask_all(who, listing, most=_MOST)
    if not people:
        states.nothing_here("Nobody stands so", "Choose another state above.")
        return
    if len(people) == _MOST:
        st.caption(f"The first {_MOST} are shown.")
    tables.show(
        [
            {
                "Name": one["name"] or "somebody you do not see",
                "Stands": _STATES[one["state"]],
                "Why": why(one["ending"] or one["reason"]),
                "Step": one["step"],
                "Next at": _moment(one["due_at"], zone),
                "Answered at": _moment(one["replied_at"], zone),
            }
            for one in people
        ],
        alt="Recipients one by one",
    )
    active = {one["id"]: one for one in people if one["state"] in _ACTIVE}
    if may_write and active:
        _stop(who, campaign_id, active)


def _moment(at: str | None, zone: ZoneInfo) -> str:
    return money.moment(datetime.fromisoformat(at), zone) if at else ""


def _stop(who: SignIn, campaign_id: str, active: dict[str, RecipientRead]) -> None:
    chosen = active[
        st.selectbox(
            "End it for",
            list(active),
            format_func=lambda one: active[one]["name"] or "somebody",
            key=f"stop {campaign_id}",
        )
    ]
    person, company = st.columns(2)
    body: StopWrite | None = None
    if person.button("End it for them", key=f"stop person {campaign_id}"):
        body = {"contact_id": chosen["contact_id"]}
    if company.button(
        "End it for their whole company", key=f"stop all {campaign_id}", disabled=not chosen["company_id"]
    ):
        body = {"company_id": chosen["company_id"]}
    if body is None:
        return
    try:
        client.ask(who, campaigns.stop_campaign_for(campaign_id, body))
    except (client.RefusedError, client.ConflictError) as refused:
        states.refused(refused)
    else:
        st.rerun()
