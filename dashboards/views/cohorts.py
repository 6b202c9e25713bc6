"""The cohorts page: how far the deals of each week, month or quarter came, at equal age."""

import streamlit as st

from dashboards import client, controls, figures, frames, groups, links, money, restated, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.periods import PIECES
from dashboards.session import SignIn

PAGE = Page("Cohorts", icon="grid_on", group="Analyse", position=9)

_PIECES = PIECES | {"owner": "Owner", "source": "Source"}
_AGES = {"": "As they stand now", "30": "After 30 days", "90": "After 90 days", "180": "After 180 days"}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Cohorts", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        scope = controls.scope_bar(who, organization, known)
        left, right = st.columns(2)
        with left:
            piece = controls.choose("Deals created per", "cohort_by", _PIECES | groups.own_fields(who))
        with right:
            age = controls.choose("Each read", "cohort_age", _AGES)
        links.publish(scope.link() | {"cohort_by": piece, "cohort_age": age or None})
        usual = controls.USUAL.parameters()
        asked = {**scope.parameters(), **usual, "group_by": piece, "window_days": int(age) if age else None}
        answer = groups.named(who, client.funnel(who, asked, version=version))
        if not answer.totals:
            states.nothing_here("No deals were created in this period", "Choose another one above.")
            return
        cells = frames.group_cells(answer, money.count, most=26)
        with st.container(border=True):
            if (shown := cells["group_key"].nunique()) < len(answer.totals):
                st.caption(f"{shown} of {len(answer.totals)} shown; all in the table.")
            figures.heat_map("cohort_cells", cells, alt="Share of each cohort per stage")
            states.provenance(answer, figures.describe(scope, organization, "Deals created in the period"))
            restated.note(who, organization, "funnel", "cohort", asked, "Deals created in the period")
        table = frames.group_table(answer, money.count)
        tables.show(table, alt="Share of each cohort per stage")
