"""The lost-reasons page: where lost deals go, by reason, and from which stage they were lost."""

import streamlit as st

from dashboards import client, controls, figures, links, states
from dashboards.answers import Me
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
)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Lost reasons", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        scope = controls.scope_bar(organization, known, with_all=True)
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
        st.subheader("From which stage", anchor=False)
        closed = {**scope.parameters(), "cohort": "closed"}
        funnel = client.figures(who, "funnel", closed, version=version)
        question = figures.describe(scope, organization, "Closed in the period, by the stage before the loss")
        figures.draw(who, organization, funnel, closed, _STAGES, question=question, version=version)
