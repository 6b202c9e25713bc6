"""The speed page: how long deals stay in each stage and take to be won, now and in the period before."""

import streamlit as st

from dashboards import client, controls, figures, links, periods, states
from dashboards.answers import Me
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
_CYCLE = Panel(
    "sales_cycle_days",
    [
        Column("median_days", "Median days to win", "days"),
        Column("p90_days", "Nine of ten within", "days"),
        Column("deals_won", "Won"),
    ],
    measure="deals_won",
)


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
        scope = controls.scope_bar(organization, known)
        by = controls.choose("Sales cycle by", "speed_by", _BY)
        links.publish(scope.link() | {"speed_by": by or None})
        asked = scope.parameters()
        st.subheader("Which stage got slower?", anchor=False)
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
        st.subheader("From creation to winning", anchor=False)
        cycle_asked = {**asked, "group_by": by or None}
        cycle = client.figures(who, "sales_cycle_days", cycle_asked, version=version)
        question = figures.describe(scope, organization, "Deals won in the period")
        figures.draw(who, organization, cycle, cycle_asked, _CYCLE, question=question, version=version)
