"""Why a deal, or a lead, stands where it does: its score with the reasons, what rules did to it and what each saw."""

from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import deals, scores
from contracts.calls.schemas import DealHistoryEntry, RuleAtWork, ScoreRead
from dashboards import client, money
from dashboards.answers import Me, Pipeline
from dashboards.session import SignIn

_WHAT = {
    "deal.stage.changed": "Moved",
    "deal.closed": "Closed",
    "deal.reopened": "Reopened",
    "deal.owner.changed": "Given to another owner",
    "deal.amount.changed": "Amount changed",
    "deal.close_date.changed": "Close date changed",
}


def show(who: SignIn, me: Me, deal_id: str, pipelines: list[Pipeline]) -> None:
    """Both, where there is something to say."""
    for score in client.ask(who, scores.list_scores(deal_id=deal_id, limit=1))["items"]:
        _score(score)
    entries = client.ask(who, deals.list_deal_history(deal_id))["items"]
    deeds = [(entry, rule) for entry in entries if (rule := entry.get("rule"))]
    if not deeds:
        return
    stages = {stage.id: stage.name for pipeline in pipelines for stage in pipeline.stages}
    with st.expander(f"What rules did here ({len(deeds)})", icon=":material/bolt:"):
        for entry, rule in reversed(deeds):
            with st.container(border=True):
                _deed(entry, rule, stages, me.organization.zone)


def show_lead(who: SignIn, contact_id: str) -> None:
    """The score of a contact with the reasons, where it has one."""
    for score in client.ask(who, scores.list_scores(contact_id=contact_id, limit=1))["items"]:
        _score(score, comes="to become a deal")


def _score(score: ScoreRead, *, comes: str = "to be won") -> None:
    chance = money.share(score["score"])
    st.metric(f"Chance {comes} within {score['horizon_days']} days", chance, border=True)
    for reason in score["reasons"][:3]:
        st.text(f"· {reason['words']}")


def _deed(entry: DealHistoryEntry, rule: RuleAtWork, stages: dict[str, str], zone: ZoneInfo) -> None:
    where = stages.get(entry["to_stage_id"] or "")
    what = _WHAT.get(entry["type"], entry["type"]) + (f" to {where}" if where else "")
    st.text(f"{what} by the rule “{rule['name']}”, version {rule['version']}")
    saw = [f"{name} = {value}" for name, value in rule["facts"].items()]
    if rule["score"] is not None:
        saw.append(f"score {rule['score']:.2f} of model {rule['score_model']}")
    cause = f"after event {rule['event_id']}" if rule["event_id"] else "as time had come"
    when = money.moment(datetime.fromisoformat(rule["fired_at"]), zone)
    st.text(f"{when}, {cause}" + (f"; it saw {', '.join(saw)}" if saw else ""))
