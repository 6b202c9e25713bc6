"""What came of a campaign: how far its people came, each of its steps, and whether one wording does better."""

from typing import Any

import streamlit as st

from dashboards import client, money, sentences, states, tables
from dashboards.session import SignIn

#: What a recipient may come to, in order, as people say it.
_STEPS = {
    "enrolled": "Were to be written to",
    "sent": "Were sent something",
    "delivered": "Got it, as far as is known",
    "opened": "Opened it (only Telegram tells)",
    "replied": "Answered",
    "deal_created": "Got a deal afterwards",
    "moved": "Had a deal move on afterwards",
}
_OF_STEPS = {
    "assigned": "Turn came",
    "sent": "Sent",
    "delivered": "Delivered",
    "replied": "Answered",
    "moved": "Deal moved",
    "bounced": "Came back",
    "failed": "Failed",
    "unsubscribed": "Want no more",
}
_ENDS = {
    "bounced": "Mail came back",
    "failed": "Could not be sent",
    "unsubscribed": "Want no more",
    "stopped": "Were taken out",
}


def show(who: SignIn, campaign_id: str) -> None:
    """Draw all of it."""
    _people(who, campaign_id)
    _steps(who, campaign_id)
    _trials(who, campaign_id)


def _people(who: SignIn, campaign_id: str) -> None:
    st.header("People")
    rows = client.figures(who, "campaign_recipients", {"group_by": "campaign"}).rows
    found = {one["stage_id"]: one for one in rows if one.get("group") == campaign_id}
    if not found:
        states.nothing_here("No results yet", "They follow within five minutes of the start.")
        return
    for names, title in ((_STEPS, "How far people came"), (_ENDS, "Why it ended early")):
        tables.show([_line(name, found[stage]) for stage, name in names.items() if stage in found], alt=title)
    st.caption("That a deal moved after a message is no proof that the message moved it.")


def _line(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"People": name, "How many": row["entered"], "Of all": money.share(row["share_of_cohort"])}


def _steps(who: SignIn, campaign_id: str) -> None:
    """Each step and wording by itself: an answer counts for every step before it."""
    rows = client.figures(who, "campaign_funnel", {"group_by": "arm"}).rows
    lines: dict[str, dict[str, Any]] = {}
    for one in rows:
        campaign, _, arm = str(one.get("group")).partition("/")
        if campaign == campaign_id and arm and one["stage_id"] in _OF_STEPS:
            step, _, variant = arm.partition("/")
            line = lines.setdefault(arm, {"Step": int(step), "Wording": variant.replace("_", " ")})
            line[_OF_STEPS[one["stage_id"]]] = one["entered"]
    if lines:
        st.header("Steps")
        ordered = [lines[arm] for arm in sorted(lines, key=lambda one: (lines[one]["Step"], one))]
        tables.show(ordered, alt="What came of each step and wording")


def _trials(who: SignIn, campaign_id: str) -> None:
    st.header("Wordings")
    rows = client.figures(who, "campaign_experiment", {"group_by": "arm"}).rows
    trials = [one for one in rows if one["campaign_id"] == campaign_id]
    if not trials:
        states.nothing_here("No results yet", "They follow within five minutes of the first message.")
        return
    for one in trials:
        if (said := sentences.trial(one)) is not None:
            st.text(said)
    tables.show(
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
        alt="What came of each variant",
    )
