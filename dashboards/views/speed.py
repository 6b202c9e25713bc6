"""The speed page: how long deals stay in each stage and take to be won, now and in the period before."""

import pandas as pd
import streamlit as st

from dashboards import client, controls, figures, links, periods, restated, states
from dashboards.answers import Me, Organization
from dashboards.controls import Scope
from dashboards.figures import Column, Panel
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Speed", icon="speed", group="Analyse", position=3)

_BY = {"": "Nothing", "owner": "Owner", "team": "Team", "source": "Source", "month": "Month"}

_STAGES = Panel(
    "days_in_stage",
    [
        Column("median_days", "Median", "days"),
        Column("earlier_median", "Median before", "days"),
        Column("p90_days", "Nine of ten within", "days"),
        Column("visited", "Deals"),
        Column("still_here", "Still here"),
        Column("target_days", "Target", "days"),
    ],
    measure="visited",
    heading="Stage",
    is_ranked=False,
)
_BETWEEN = Panel(
    "time_between",
    [
        Column("arrived", "Arrived"),
        Column("on_the_way", "Not yet"),
        Column("median_days", "Median of those", "days"),
        Column("estimated_median_days", "Half arrive within (estimate)", "days"),
        Column("estimated_p90_days", "Nine of ten within (estimate)", "days"),
    ],
    measure="arrived",
    is_ranked=False,
)
_CYCLE = Panel(
    "sales_cycle_days",
    [
        Column("median_days", "Median days to win", "days"),
        Column("p90_days", "Nine of ten within", "days"),
        Column("deals_won", "Won"),
    ],
    measure="deals_won",
)


_STAYS = Panel(
    "exit_paths:stays",
    [
        Column("exits", "Visits that ended"),
        Column("share_of_exits", "Share", "share"),
        Column("exit_amount_minor", "Amount", "money"),
    ],
    measure="exits",
    heading="Days in the stage",
    is_ranked=False,
)
_TOOK = Panel(
    "time_between:took",
    [Column("arrived", "Arrived"), Column("on_the_way", "Not yet, after so long")],
    measure="arrived",
    heading="Days",
    is_ranked=False,
)
_BANDS = {"0-1": "Under 1 day", "1-2": "1 day", "2-3": "2 days", "365-": "365 days and more"} | {
    f"{start}-{end}": f"{start} to {end - 1} days"
    for start, end in ((3, 7), (7, 14), (14, 30), (30, 60), (60, 90), (90, 180), (180, 365))
}

#: Choices of a stage on this page, each with what it is where none is chosen.
_STAGE_CHOICES = {"stay_stage": None, "from_stage": "", "to_stage": ""}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Speed", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        scope = controls.scope_bar(who, organization, known)
        by = controls.choose("Sales cycle by", "speed_by", _BY)
        links.publish(scope.link() | {"speed_by": by or None} | _chosen_stages(scope))
        asked = scope.parameters()
        st.header("Which stage got slower?", anchor=False)
        stages = client.figures(who, "days_in_stage", asked, version=version)
        earlier = periods.before(scope.period)
        past = {**asked, "from": earlier.start.isoformat(), "to": earlier.end.isoformat()}
        medians = {
            row["stage_id"]: row["median_days"]
            for row in client.figures(who, "days_in_stage", past, version=version).rows
        }
        rows = [row | {"earlier_median": medians.get(row["stage_id"])} for row in stages.rows]
        question = figures.describe(scope, organization, f"Deals created in the period, against {earlier}")
        compared = stages.model_copy(update={"rows": rows})
        figures.draw(who, organization, compared, asked, _STAGES, question=question, version=version)
        restated.note(who, organization, "funnel", "cohort", asked, "Deals created in the period")
        _stays(who, organization, scope, version)
        _between(who, organization, scope, version)
        st.header("From creation to winning", anchor=False)
        cycle_asked = {**asked, "group_by": by or None}
        cycle = client.figures(who, "sales_cycle_days", cycle_asked, version=version)
        question = figures.describe(scope, organization, "Deals won in the period")
        figures.draw(who, organization, cycle, cycle_asked, _CYCLE, question=question, version=version)


def _chosen_stages(scope: Scope) -> dict[str, str | None]:
    """The stages that are chosen below, for the address; one of another pipeline is no choice any more."""
    stages = [stage.id for stage in scope.pipeline.stages] if scope.pipeline else []
    for key, default in _STAGE_CHOICES.items():
        links.restore(key, default, links.one_of(stages))
        if links.chosen(key) not in stages:
            links.forget(key)
    return {key: links.chosen(key) for key in _STAGE_CHOICES}


def _stays(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    """How the visits to one stage that ended in the period are spread over their days."""
    stages = {stage.id: stage.name for stage in scope.pipeline.stages if stage.kind == "open"} if scope.pipeline else {}
    if not stages:
        return
    st.header("How long do they stay there?", anchor=False)
    stage = controls.choose("Stage", "stay_stage", stages)
    asked = {**scope.parameters(), "group_by": "days"}
    answer = client.figures(who, "exit_paths", asked, version=version)
    chosen = answer.model_copy(
        update={
            "rows": [row for row in answer.rows if row.get("stage_id") == stage and row.get("exits")],
            "labels": answer.labels | _BANDS | {stage: ""},
        }
    )
    question = figures.describe(scope, organization, f"Visits to {stages[stage]} that ended in the period")
    figures.draw(who, organization, chosen, asked, _STAYS, question=question, version=version)


def _between(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    """From any stage to any other, those who have yet to arrive counted in."""
    st.header("From one stage to another", anchor=False)
    stages = {stage.id: stage.name for stage in scope.pipeline.stages} if scope.pipeline else {}
    left, right = st.columns(2)
    with left:
        start = controls.choose("From", "from_stage", {"": "The beginning", **stages})
    with right:
        end = controls.choose("To", "to_stage", {"": "Any won stage", **stages})
    asked = {**scope.parameters(), "from_stage": start or None, "to_stage": end or None}
    answer = client.figures(who, "time_between", asked, version=version)
    question = figures.describe(scope, organization, "Deals that began in the period")
    figures.draw(who, organization, answer, asked, _BETWEEN, question=question, version=version)
    curve = answer.rows[0].get("curve") if answer.rows else None
    if curve:
        st.caption("Share that has arrived by each day, and its 95 % interval (Kaplan–Meier): young cohorts count in.")
        table = pd.DataFrame(curve).set_index("day")[["share", "low", "high"]]
        st.line_chart(table, x_label="Days", y_label="Share arrived")
    banded = {**asked, "group_by": "days"}
    spread = client.figures(who, "time_between", banded, version=version)
    if spread.rows:
        spread = spread.model_copy(update={"labels": spread.labels | _BANDS})
        figures.draw(who, organization, spread, banded, _TOOK, question=question, version=version)
