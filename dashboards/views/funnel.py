"""The funnel page: how a period's deals went through a pipeline, and the deals behind every figure."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboards import charts, client, controls, drill_down, frames, links, money, periods, states, tables
from dashboards.answers import FunnelAnswer, Me, Organization, Pipeline
from dashboards.client import Parameters
from dashboards.controls import Counting, Scope
from dashboards.frames import Write
from dashboards.pages import Page
from dashboards.periods import Period, PeriodName
from dashboards.session import SignIn

PAGE = Page("Funnel", icon="filter_alt", group="Analyse", position=1)

_YEARS_TO_LOOK_BACK = 5


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Funnel", who, organization.zone, follows=st.session_state.get("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        _choose_first_period(who, organization, known[0], version)
        scope, counts = _controls(organization, known)
        links.publish(scope.link() | counts.link() | drill_down.link())
        asked = scope.parameters() | counts.parameters()
        with st.spinner("Counting", show_time=False):
            answer = client.funnel(who, asked, version=version)
        if frames.cohort_size(answer.rows) == 0:
            _empty(who, organization, scope, counts, version)
            return
        _headline(who, answer, scope, counts, organization, version)
        _chart_and_table(answer, scope, counts, organization)
        grouped = _groups(who, scope, counts, organization, version)
        drill_down.funnel_deals(who, answer, asked, grouped=grouped, version=version, currency=organization.currency)


def _controls(organization: Organization, known: list[Pipeline]) -> tuple[Scope, Counting]:
    now = datetime.now(UTC)
    with st.container(border=True):
        columns = st.columns([1.15, 1.3, 1.15, 0.8])
        with columns[0]:
            pipeline = controls.pipeline(known) or known[0]
        with columns[1]:
            name, period = controls.period(organization, now.astimezone(organization.zone).date())
        with columns[2]:
            as_of = controls.as_of(organization, now)
        with columns[3]:
            controls.unit()
        counts = controls.counting(pipeline)
    return Scope(pipeline, name, period, as_of), counts


def _choose_first_period(who: SignIn, organization: Organization, pipeline: Pipeline, version: str | None) -> None:
    """On the first visit: the last quarter, unless it is empty and the present one is not."""
    if "period" in st.session_state or "period" in st.query_params:
        return
    today = datetime.now(organization.zone).date()
    for name in (PeriodName.LAST_QUARTER, PeriodName.THIS_QUARTER):
        period = periods.named(name, today, fiscal_start_month=organization.fiscal_year_start_month)
        asked = Scope(pipeline, name, period, None).parameters() | controls.USUAL.parameters()
        if frames.cohort_size(client.funnel(who, asked, version=version).rows):
            st.session_state["period"] = name.value
            return


def _headline(
    who: SignIn, answer: FunnelAnswer, scope: Scope, counts: Counting, organization: Organization, version: str | None
) -> None:
    now = frames.outcome(answer)
    earlier_period = periods.before(scope.period)
    earlier_scope = Scope(scope.pipeline, scope.period_name, earlier_period, scope.as_of)
    asked = earlier_scope.parameters() | counts.parameters()
    before = frames.outcome(client.funnel(who, asked, version=version))
    amounts: Parameters = scope.parameters() | counts.parameters() | {"unit": "amount"}
    won_amount = frames.outcome(client.funnel(who, amounts, version=version)).won
    write = _writer(counts, organization)
    against = f"{earlier_period}: "
    first, second, third, fourth, fifth = st.columns(5)
    noun = "Deals" if counts.unit == "deals" else "Amount"
    first.metric(
        noun,
        write(now.cohort),
        _change(now.cohort, before.cohort),
        border=True,
        height="stretch",
        help=against + write(before.cohort),
    )
    second.metric(
        "Won",
        write(now.won),
        _change(now.won, before.won),
        border=True,
        height="stretch",
        help=against + write(before.won),
    )
    shares = (now.won_share, before.won_share)
    third.metric(
        "Won so far, of all",
        money.share(now.won_share),
        money.points(shares[0] - shares[1]) if shares[0] is not None and shares[1] is not None else None,
        border=True,
        height="stretch",
        help=f"{against}{money.share(before.won_share)}. Deals still open may yet be won.",
    )
    fourth.metric("Won amount", money.short_amount(won_amount, organization.currency), border=True, height="stretch")
    fifth.metric("Still open", write(now.still_open), border=True, height="stretch", help=f"Lost: {write(now.lost)}")


def _chart_and_table(answer: FunnelAnswer, scope: Scope, counts: Counting, organization: Organization) -> None:
    write = _writer(counts, organization)
    with st.container(border=True):
        st.altair_chart(
            charts.funnel(
                frames.funnel_parts(answer, write), states.palette(), chosen=st.session_state.get("stage") or None
            ),
            key="funnel_chart",
            on_select=drill_down.choose_clicked_stage,
            alt=f"Funnel of {scope.pipeline.name if scope.pipeline else 'all pipelines'}: deals per stage",
        )
        states.provenance(answer, controls.describe(scope, counts, organization))
    table = frames.funnel_table(answer)
    st.dataframe(
        tables.funnel(table, counts.unit, organization.currency),
        hide_index=True,
        column_config=tables.FUNNEL_COLUMNS,
        placeholder=money.NOTHING,
        alt="Every figure of every stage",
        **drill_down.selectable("funnel_table", list(table["stage_id"]), "stage"),
    )


def _groups(
    who: SignIn, scope: Scope, counts: Counting, organization: Organization, version: str | None
) -> FunnelAnswer | None:
    st.subheader("Compare", anchor=False)
    controls.group()
    if not counts.group_by:
        return None
    asked = scope.parameters() | counts.parameters() | {"group_by": counts.group_by}
    answer = client.funnel(who, asked, version=version)
    with st.container(border=True):
        cells = frames.group_cells(answer, _writer(counts, organization))
        st.altair_chart(
            charts.cohorts(cells, states.palette()),
            key="cohorts",
            on_select=drill_down.choose_clicked_cell,
            alt="Share of each group per stage",
        )
        grouped = f"{controls.describe(scope, counts, organization)} · by {controls.GROUPS[counts.group_by].lower()}"
        states.provenance(answer, grouped)
    return answer


def _empty(who: SignIn, organization: Organization, scope: Scope, counts: Counting, version: str | None) -> None:
    """Say what is missing, and offer the latest month that has deals."""
    today = datetime.now(organization.zone).date()
    wide = Period(periods.add_months(today, -12 * _YEARS_TO_LOOK_BACK), today + timedelta(days=1))
    asked = Scope(scope.pipeline, PeriodName.CUSTOM, wide, scope.as_of).parameters() | counts.parameters()
    months = client.funnel(who, asked | {"group_by": "month"}, version=version)
    filled = [row.group for row in months.rows if row.group and row.entered]
    verb = {"created": "created", "closed": "closed"}.get(counts.cohort, "in this cohort")
    if not filled:
        states.nothing_here(
            f"No deals were {verb} in this period",
            "There are none in the years before either. New and imported deals appear here within seconds.",
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


def _change(now: int, before: int) -> str | None:
    return f"{(now - before) / before * 100:+.0f} %" if before else None
