"""The funnel page: how a period's deals went through a pipeline, and the deals behind every figure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Literal

import streamlit as st

from contracts.stages import StageKind
from dashboards import (
    charts,
    client,
    controls,
    drill_down,
    figures,
    frames,
    groups,
    links,
    money,
    periods,
    restated,
    states,
    tables,
)
from dashboards.answers import FunnelAnswer, Me, Organization, Pipeline
from dashboards.client import Parameters
from dashboards.controls import Counting, Scope
from dashboards.frames import Outcome, Write
from dashboards.pages import Page
from dashboards.periods import Period, PeriodName
from dashboards.session import SignIn

PAGE = Page("Funnel", icon="filter_alt", group="Analyse", position=1)

#: All days that can be asked about.
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2200, 1, 1)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Funnel", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        _choose_first_period(who, organization, known[0], version)
        scope = controls.scope_bar(who, organization, known)
        splits = groups.offered(who)
        counts = controls.counting_bar(scope.pipeline or known[0], splits)
        links.publish(scope.link() | counts.link() | drill_down.link())
        asked = scope.parameters() | counts.parameters()
        with st.spinner("Counting", show_time=False):
            answer = client.funnel(who, asked, version=version)
        if answer.size() == 0:
            _empty(who, scope, counts, version)
            return
        _headline(who, answer, scope, counts, organization, version)
        _chart_and_table(answer, scope, counts, organization)
        won = next((row.stage_id for row in answer.rows if row.kind is StageKind.WON), None)
        if won is not None:
            cell = {**asked, "unit": None, "stage_id": won}
            restated.note(who, organization, "funnel", "entered", cell, "Won")
        grouped = _groups(who, scope, counts, organization, splits, version)
        drill_down.funnel_deals(who, answer, asked, grouped=grouped, version=version, currency=organization.currency)


def _choose_first_period(who: SignIn, organization: Organization, pipeline: Pipeline, version: str | None) -> None:
    """On the first visit: the last quarter, unless it is empty and the present one is not."""
    if links.chosen("period") or "period" in st.query_params:
        return
    today = datetime.now(organization.zone).date()
    for name in (PeriodName.LAST_QUARTER, PeriodName.THIS_QUARTER):
        period = periods.named(name, today, fiscal_start_month=organization.fiscal_year_start_month)
        asked = Scope(pipeline, name, period, None).parameters() | controls.USUAL.parameters()
        if client.funnel(who, asked, version=version).size():
            links.choose("period", name.value)
            return


def _headline(
    who: SignIn, answer: FunnelAnswer, scope: Scope, counts: Counting, organization: Organization, version: str | None
) -> None:
    now = frames.outcome(answer)
    earlier_period = periods.before(scope.period)
    asked = replace(scope, period=earlier_period).parameters() | counts.parameters()
    before = frames.outcome(client.funnel(who, asked, version=version))
    amounts: Parameters = scope.parameters() | counts.parameters() | {"unit": "amount"}
    won_amount = frames.outcome(client.funnel(who, amounts, version=version)).won
    write = _writer(counts, organization)
    young = _why_young(scope, organization, now, before)
    said = f"Against {earlier_period}. {young}"
    tiles: list[tuple[str, str, str | None, str]] = [
        (
            "Deals" if counts.unit == "deals" else "Amount",
            write(now.cohort),
            money.change(now.cohort, before.cohort),
            write(before.cohort),
        ),
        ("Won", write(now.won), money.change(now.won, before.won), write(before.won)),
        (
            "Won so far, of all",
            money.share(now.won_share),
            _points(now.won_share, before.won_share),
            money.share(before.won_share),
        ),
        ("Still open", write(now.still_open), None, write(before.still_open)),
        ("Lost", write(now.lost), money.change(now.lost, before.lost), write(before.lost)),
    ]
    if counts.unit == "deals":
        tiles[3:3] = [("Won amount", money.short_amount(won_amount, organization.currency), None, "")]
    for column, (label, value, delta, earlier) in zip(st.columns(len(tiles)), tiles, strict=True):
        is_good = label != "Lost"
        colour: Literal["normal", "inverse", "off"] = "off" if young else "normal" if is_good else "inverse"
        column.metric(
            label,
            value,
            delta,
            delta_color=colour,
            border=True,
            height="stretch",
            help=f"{said}Then: {earlier}." if earlier else None,
        )
    st.caption(said + (" Changes are grey." if young else ""))


def _why_young(scope: Scope, organization: Organization, now: Outcome, before: Outcome) -> str:
    """Why a difference says little yet, so that it is neither red nor green; empty where both cohorts are settled."""
    if scope.as_of is None and scope.period.end > datetime.now(organization.zone).date():
        return "The period is not over, so that its deals are fewer and younger than those before."
    if now.still_open * 5 > now.cohort or before.still_open * 5 > before.cohort:
        return "More than a fifth of the deals is still open, so that this may yet change."
    return ""


def _points(now: float | None, before: float | None) -> str | None:
    return None if now is None or before is None else money.points(now - before)


def _chart_and_table(answer: FunnelAnswer, scope: Scope, counts: Counting, organization: Organization) -> None:
    write = _writer(counts, organization)
    with st.container(border=True):
        parts = frames.funnel_parts(answer, write)
        alt = f"Funnel of {scope.pipeline.name if scope.pipeline else 'all pipelines'}: deals per stage"

        def draw(key: str, is_narrow: bool) -> None:
            chosen = links.chosen("stage") or None
            chart = charts.funnel(parts, states.palette(), chosen=chosen, is_narrow=is_narrow)
            st.altair_chart(chart, key=key, on_select=lambda: drill_down.choose_clicked_stage(key), alt=alt)

        states.at_widths("funnel", draw)
        states.provenance(answer, controls.describe(scope, counts, organization))
    table = frames.funnel_table(answer)
    tables.show(
        tables.funnel(table, counts.unit, organization.currency),
        column_config=tables.FUNNEL_COLUMNS,
        alt="Every figure of every stage",
        **drill_down.selectable("funnel_table", list(table["stage_id"]), "stage"),
    )


def _groups(
    who: SignIn,
    scope: Scope,
    counts: Counting,
    organization: Organization,
    splits: Mapping[str, str],
    version: str | None,
) -> FunnelAnswer | None:
    st.header("Compare", anchor=False)
    controls.group(splits)
    if not counts.group_by:
        return None
    asked = scope.parameters() | counts.parameters() | {"group_by": counts.group_by}
    answer = groups.named(who, client.funnel(who, asked, version=version))
    with st.container(border=True):
        cells = frames.group_cells(answer, _writer(counts, organization))
        if (shown := cells["group_key"].nunique()) < len(answer.totals):
            st.caption(f"{shown} of {len(answer.totals)} groups shown, the largest; all in the table.")
        alt = "Share of each group per stage"
        figures.heat_map("groups", cells, alt=alt, on_select=drill_down.choose_clicked_cell)
        grouped = f"{controls.describe(scope, counts, organization)} · by {splits[counts.group_by].lower()}"
        states.provenance(answer, grouped)
    tables.show(frames.group_table(answer, _writer(counts, organization)), alt=alt)
    return answer


def _empty(who: SignIn, scope: Scope, counts: Counting, version: str | None) -> None:
    """Say what is missing, and offer the latest month that has deals."""
    wide = Period(_FIRST_DAY, _LAST_DAY)
    asked = replace(scope, period_name=PeriodName.CUSTOM, period=wide).parameters() | counts.parameters()
    months = client.funnel(who, asked | {"group_by": "month"}, version=version)
    filled = [total.group for total in months.totals if total.group and total.cohort]
    verb = {"created": "created", "closed": "closed"}.get(counts.cohort, "in this cohort")
    if not filled:
        states.nothing_here(
            f"No deals were {verb} in this period",
            "There are none in any other period either. New and imported deals appear here within seconds.",
        )
        return
    latest = periods.month_of(max(filled))
    states.nothing_here(f"No deals were {verb} in this period", f"The last ones are of **{latest.start:%B %Y}**.")
    st.button(
        f"Show {latest.start:%B %Y}",
        icon=":material/event:",
        on_click=controls.show_days,
        args=(latest,),
    )


def _writer(counts: Counting, organization: Organization) -> Write:
    if counts.unit == "deals":
        return money.count
    return lambda minor: money.short_amount(minor, organization.currency)
