"""The forecast page: what a period will bring, as it is now and as it was issued when the period began."""

from datetime import UTC, datetime, time
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, controls, figures, frames, links, money, states, tables
from dashboards.answers import FiguresAnswer, Me, Organization
from dashboards.controls import Scope
from dashboards.figures import Column, Panel
from dashboards.pages import Page
from dashboards.periods import PeriodName
from dashboards.session import SignIn

PAGE = Page("Forecast", icon="insights", group="Analyse", position=7)

_BY = {"owner": "Owner", "team": "Team", "source": "Source"}
_WHOSE = {"": "Everybody together", "owner": "Each owner", "team": "Each team"}
_COLUMNS = [
    Column("forecast_minor", "Forecast", "money"),
    Column("booked_amount_minor", "Won already", "money"),
    Column("weighted_amount_minor", "Open, weighted", "money"),
    Column("due_amount_minor", "Open, whole", "money"),
    Column("best_case_minor", "Best case", "money"),
    Column("due_deals", "Open deals due"),
]


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Forecast", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        if not links.chosen("period") and "period" not in st.query_params:
            links.choose("period", PeriodName.THIS_QUARTER.value)
        scope = controls.scope_bar(who, organization, client.pipelines(who), with_all=True)
        by = controls.choose("Forecast by", "forecast_by", _BY)
        links.restore("accuracy_by", "", links.one_of(list(_WHOSE)))  # it is drawn far below
        links.publish(scope.link() | {"forecast_by": by, "accuracy_by": links.chosen("accuracy_by") or None})
        _tiles(who, organization, scope, version)
        asked = {**scope.parameters(), "group_by": by}
        answer = client.figures(who, "forecast", asked, version=version)
        panel = Panel("forecast", _COLUMNS, measure="due_deals", heading=_BY[by])
        question = figures.describe(
            scope, organization, f"Won in the period, and open with a close date in it, by {_BY[by].lower()}"
        )
        figures.draw(who, organization, answer, asked, panel, question=question, version=version)
        _by_scores(who, organization, scope, version)
        _as_issued(who, organization, scope, version)


def _tiles(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    now = _first(client.figures(who, "forecast", scope.parameters(), version=version))
    begins = datetime.combine(scope.period.start, time(), tzinfo=organization.zone)
    issued = None
    if begins < datetime.now(UTC):
        then = {**scope.parameters(), "as_of": begins.astimezone(UTC).isoformat()}
        issued = _issued(who, then, version)
    shown = [
        ("Forecast", now.get("forecast_minor", 0)),
        ("Won already", now.get("booked_amount_minor", 0)),
        ("Best case", now.get("best_case_minor", 0)),
        ("Forecast when the period began", issued),
    ]
    for column, (label, value) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(label, money.short_amount(value, organization.currency), border=True, height="stretch")
    st.caption("Weighted by how often deals of each stage were won in the year before. What was issued then stays.")


def _by_scores(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    """The same period with deals weighed by their scores, where some have one."""
    answer = client.figures(who, "score_forecast", scope.parameters(), version=version)
    row = _first(answer)
    st.header("By scores", anchor=False)
    if not row.get("scored_deals"):
        states.nothing_here("No deal due has a score", "Scores weigh deals here as soon as Lead scores has a model.")
        return
    shown = (
        ("Forecast by scores", "forecast_minor"),
        ("Open, weighted by scores", "weighted_amount_minor"),
        ("Open with a score", "scored_amount_minor"),
    )
    for column, (label, figure) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(label, money.short_amount(row[figure], organization.currency), border=True, height="stretch")
    st.caption(
        f"{money.count(row['scored_deals'])} of {money.count(row['due_deals'])} deals due have a score; the others"
        " weigh by their stage."
    )
    states.provenance(answer, figures.describe(scope, organization, "Open deals due, each at its newest score"))


def _as_issued(who: SignIn, organization: Organization, scope: Scope, version: str | None) -> None:
    """Every week's forecast of the period as it was issued, against what the period has brought."""
    st.header("As issued, against what came", anchor=False)
    by = controls.choose(
        "Accuracy of", "accuracy_by", {"": "Everybody together", "owner": "Each owner", "team": "Each team"}
    )
    links.publish({"accuracy_by": by or None})
    asked = {**scope.parameters(), "group_by": by or None}
    answer = client.figures(who, "forecast_accuracy", asked, version=version)
    rows = [row for row in answer.rows if row.get("issued_at")]
    if not rows:
        states.nothing_here("Nothing was issued yet", "The first forecast is issued when the period begins.")
        return
    columns = [
        Column("committed_minor", "Won by then", "money"),
        Column("forecast_minor", "Forecast", "money"),
        Column("best_case_minor", "Best case", "money"),
        Column("booked_amount_minor", "Won in the period", "money"),
        Column("error_share", "Off by", "share"),
    ]
    has_scores = any(row.get("score_forecast_minor") is not None for row in rows)
    if has_scores:
        columns += [
            Column("score_forecast_minor", "By scores", "money"),
            Column("score_error_share", "By scores, off by", "share"),
        ]
    shown = [
        {"Issued": str(row["issued_at"])[:10]}
        | ({_BY[by]: frames.group_name(answer, row.get("group"))} if by else {})
        | {one.heading: figures.write(row.get(one.figure), one.kind, organization.currency) for one in columns}
        | ({"Open without a score": _unscored(row, organization)} if has_scores else {})
        for row in rows
    ]
    tables.show(pd.DataFrame(shown), alt="Forecasts as issued")
    if has_scores:
        st.caption("By scores: open deals due, each at the newest score that it had then, the others by their stage.")
    if not rows[0].get("is_settled"):
        st.caption("The period is not over: what it brings is not settled yet.")
    states.provenance(answer, figures.describe(scope, organization, "Each forecast as it was known then"))


def _unscored(row: dict[str, Any], organization: Organization) -> str:
    """How many of an issue's open deals had no score, and what they were worth."""
    deals = f"{money.count(row['issued_deals'] - row['issued_scored_deals'])} of {money.count(row['issued_deals'])}"
    return f"{deals}, {money.short_amount(row['issued_unscored_minor'], organization.currency)}"


def _issued(who: SignIn, asked: dict[str, str | int | None], version: str | None) -> int | None:
    """What was forecast then; None where nothing was known yet."""
    try:
        return int(_first(client.figures(who, "forecast", asked, version=version)).get("forecast_minor", 0))
    except client.RefusedError:
        return None


def _first(answer: FiguresAnswer) -> dict[str, int]:
    return answer.rows[0] if answer.rows else {}
