"""The team page: what each owner or team brought in during a period, and the deals behind it."""

import pandas as pd
import streamlit as st

from dashboards import charts, client, controls, drill_down, frames, goals, links, money, restated, states, tables
from dashboards.answers import Me, Organization, TeamAnswer
from dashboards.controls import Scope
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Team", icon="groups", group="Analyse", position=6)

LEVELS = {"owner": "Owner", "team": "Team", "top_team": "Top team"}
_MOST_BARS = 15


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Team", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        scope = controls.scope_bar(who, organization, client.pipelines(who), with_all=True)
        level = controls.choose("Figures per", "level", LEVELS)
        links.publish(scope.link() | {"level": None if level == "owner" else level})
        asked = scope.parameters() | {"group_by": level}
        with st.spinner("Counting"):
            answer = client.team_performance(who, asked, version=version)
        if not answer.rows:
            states.nothing_here(
                "Nothing happened in this period",
                "No deal was created, won or lost, and none is open. Choose another period above.",
            )
            return
        table = frames.team_table(answer.rows, answer.label, by_team=level != "owner")
        _charts(table, answer, scope, organization, level)
        restated.note(who, organization, "team_performance", "deals_won", asked, "Won")
        _table(table, organization, scope, level)
        names = dict(zip(table["id"], table["Name"], strict=True))
        drill_down.team_deals(
            who, names, asked, _figures(answer, level), version=version, currency=organization.currency
        )
        goals.section(who, me, scope, level, version=version)


def _charts(table: pd.DataFrame, answer: TeamAnswer, scope: Scope, organization: Organization, level: str) -> None:
    best = table.head(_MOST_BARS).reset_index(drop=True)
    currency = organization.currency
    amounts = pd.DataFrame(
        {
            "name": best["Name"],
            "rank": best.index,
            "value": [money.major(value, currency) for value in best["Won amount"]],
            "text": [money.short_amount(value, currency) for value in best["Won amount"]],
        }
    )
    rates = pd.DataFrame(
        {
            "name": best["Name"],
            "rank": best.index,
            "value": best["Win rate"],
            "text": [money.share(None if pd.isna(value) else value) for value in best["Win rate"]],
        }
    )
    with st.container(border=True):
        if len(table) > _MOST_BARS:
            st.caption(f"{_MOST_BARS} of {len(table)} shown; all in the table.")
        left, right = st.columns([2, 1])
        left.markdown("**Won amount**")
        with left:
            states.at_widths("ranking", lambda key, is_narrow: _won(key, amounts, is_narrow=is_narrow))
        right.markdown("**Win rate**")
        with right:
            states.at_widths("rates", lambda key, is_narrow: _rates(key, rates, is_narrow=is_narrow))
        known = f"as known at {money.moment(scope.as_of, organization.zone)}" if scope.as_of else "as known now"
        states.provenance(
            answer,
            f"{scope.period} · {scope.pipeline.name if scope.pipeline else 'all pipelines'} · per "
            f"{LEVELS[level].lower()} at the time · {known} ({organization.time_zone})",
        )


def _won(key: str, amounts: pd.DataFrame, *, is_narrow: bool) -> None:
    chart = charts.ranking(amounts, states.palette(), is_narrow=is_narrow)
    st.altair_chart(chart, key=key, alt="Won amount, best first")


def _rates(key: str, rates: pd.DataFrame, *, is_narrow: bool) -> None:
    chart = charts.rates(rates, states.palette(), is_narrow=is_narrow)
    st.altair_chart(chart, key=key, alt="Win rate, in the same order")


def _table(table: pd.DataFrame, organization: Organization, scope: Scope, level: str) -> None:
    tables.show(
        tables.team(table, organization.currency),
        column_config=tables.team_columns(LEVELS[level]),
        height="content",
        alt="Every figure per name",
        **drill_down.selectable("team_table", list(table["id"]), "who"),
    )
    st.download_button(
        "Download CSV",
        frames.as_csv(frames.team_file(table, organization.currency)),
        file_name=f"team-{level}-{scope.period.start}-{scope.period.end}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="team_csv",
    )


def _figures(answer: TeamAnswer, level: str) -> drill_down.Figure:
    rows = {(row.owner_id if level == "owner" else row.team_id) or "": row for row in answer.rows}

    def figure(key: str, measure: str) -> int | None:
        value = getattr(rows[key], measure)
        return int(value)

    return figure
