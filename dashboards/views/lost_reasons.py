"""The lost-reasons page: where lost deals go, by reason, and from which stage they were lost."""

import pandas as pd
import streamlit as st

from dashboards import client, controls, figures, links, money, states, tables
from dashboards.answers import Me, Organization
from dashboards.controls import Scope
from dashboards.figures import Column, Panel
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Lost reasons", icon="trending_down", group="Analyse", position=8)

_BY = {"lost_reason": "Reason", "owner": "Owner", "team": "Team", "source": "Source", "month": "Month"}
_COLUMNS = [Column("deals_lost", "Lost"), Column("lost_amount_minor", "Lost amount", "money")]
_STAGES = Panel(
    "funnel",
    [Column("lost", "Lost here"), Column("entered", "Entered")],
    measure="lost",
    heading="Stage",
    is_ranked=False,
    restates="lost",
)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Lost reasons", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        scope = controls.scope_bar(who, organization, known, with_all=True)
        by = controls.choose("Losses by", "lost_by", _BY)
        links.publish(scope.link() | {"lost_by": by})
        asked = {**scope.parameters(), "group_by": by}
        answer = client.figures(who, "lost_reasons", asked, version=version)
        panel = Panel("lost_reasons", _COLUMNS, measure="deals_lost", heading=_BY[by])
        question = figures.describe(scope, organization, f"Lost in the period, by {_BY[by].lower()}")
        figures.draw(who, organization, answer, asked, panel, question=question, version=version)
        if scope.pipeline is None:
            st.caption("Choose one pipeline above to see from which stage deals were lost.")
            return
        st.header("From which stage", anchor=False)
        closed = {**scope.parameters(), "cohort": "closed"}
        funnel = client.figures(who, "funnel", closed, version=version)
        question = figures.describe(scope, organization, "Closed in the period, by the stage before the loss")
        figures.draw(who, organization, funnel, closed, _STAGES, question=question, version=version)
        _exits(who, organization, scope, version)


def _exits(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    """Every way out of every stage in the period: on, back, won or lost."""
    st.header("Where deals go from each stage", anchor=False)
    answer = client.figures(who, "exit_paths", scope.parameters(), version=version)
    rows = [row for row in answer.rows if row.get("exits")]
    if not rows:
        states.nothing_here("No deal left a stage", "Choose another period or pipeline above.")
        return
    shown = [
        {
            "From": answer.label(row.get("stage_id")),
            "To": answer.label(row.get("group")),
            "Leavings": money.count(row["exits"]),
            "Share": money.share(row.get("share_of_exits")),
            "Amount": money.short_amount(row.get("exit_amount_minor"), organization.currency),
            "Median days before": money.days(row.get("median_days")),
        }
        for row in rows
    ]
    tables.show(pd.DataFrame(shown), alt="Exits by stage")
    states.provenance(
        answer, figures.describe(scope, organization, "Leavings in the period, one per deal and stage that it went to")
    )
