"""The first page: what changed since last week, what the quarter will bring, what is stuck, and where answers are."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import streamlit as st

from contracts.calls import watches
from dashboards import client, controls, figures, goals, links, money, restated, states
from dashboards.answers import FiguresAnswer, Me, Organization
from dashboards.controls import Scope
from dashboards.figures import Column, Panel
from dashboards.pages import Page, link
from dashboards.periods import PeriodName, named
from dashboards.session import SignIn
from dashboards.views import alarms

PAGE = Page("Today", icon="today", group="Today", position=1)

#: What managers ask -> the page that answers it.
QUESTIONS = {
    "Why did conversion change?": "compare",
    "Is it significant?": "compare",
    "Which rep?": "team",
    "Which stage got slower?": "speed",
    "Which deals are stuck?": "pipeline",
    "What will we close this quarter?": "forecast",
    "Where do lost deals go?": "lost-reasons",
    "Which source brings money?": "sources",
    "How did each month's deals do?": "cohorts",
    "Where in the funnel do they stay?": "funnel",
}

_HELP = Panel(
    "stalled_deals",
    [
        Column("stalled_deals", "Stuck deals"),
        Column("stalled_amount_minor", "Amount", "money"),
        Column("median_days", "Median days there", "days"),
    ],
    measure="stalled_deals",
    heading="Owner",
)

Asked = dict[str, str | int | None]


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Today", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        scope = controls.standing_bar(who, organization, known)
        links.publish({name: value for name, value in scope.link().items() if name != "period"})
        today = (scope.as_of or datetime.now(UTC)).astimezone(organization.zone).date()
        _alarms(who)
        _week(who, organization, scope, today, version)
        _quarter(who, organization, scope, today, version)
        st.header("Who needs help?", anchor=False)
        asked: Asked = {**scope.of_any_period(), "group_by": "owner"}
        stalled = by_owner(client.figures(who, "stalled_deals", asked, version=version))
        question = _words(scope, organization, "Open longer than the stage's target")
        figures.draw(who, organization, stalled, asked, _HELP, question=question, version=version)
        _restated(who, organization, scope, today, version)
        st.header("Ask further", anchor=False)
        columns = st.columns(2)
        for number, (question, path) in enumerate(QUESTIONS.items()):
            with columns[number % 2]:
                link(path, question)


def by_owner(answer: FiguresAnswer) -> FiguresAnswer:
    """The owners that have anything stuck, stage by stage."""
    return answer.model_copy(update={"rows": [row for row in answer.rows if row["stalled_deals"]]})


def _alarms(who: SignIn) -> None:
    """Watched figures that are beyond their thresholds."""
    raised = [one for one in client.ask_all(who, partial(watches.list_watches, limit=100)) if one["is_raised"]]
    for one in raised:
        st.warning(
            states.plain(f"{one['name']}: {alarms.written(one, one['value'])}"), icon=":material/notifications_active:"
        )
    if raised:
        link("alarms", "All figures that you watch")


def _week(who: SignIn, organization: Organization, scope: Scope, today: date, version: str | None) -> None:
    """Seven whole days against the seven before: equal age, so that colours are right."""
    st.header("What changed since last week?", anchor=False)
    this, last = ({**scope.of_any_period(), **_period(today, days)} for days in (7, 14))
    tiles = [
        ("Created", "deals_created", "deals_created", False),
        ("Closed-won", "bookings", "deals_won", False),
        ("Booked", "bookings", "won_amount_minor", True),
        ("Lost", "lost_reasons", "deals_lost", False),
    ]
    for column, (label, metric, figure, is_money) in zip(st.columns(len(tiles)), tiles, strict=True):
        now, before = (
            _figure(client.figures(who, metric, {**asked, "group_by": "none"}, version=version), figure)
            for asked in (this, last)
        )
        written = money.short_amount(now, organization.currency) if is_money else money.count(now)
        then = money.short_amount(before, organization.currency) if is_money else money.count(before)
        column.metric(
            label,
            written,
            money.change(now, before),
            delta_color="inverse" if label == "Lost" else "normal",
            border=True,
            height="stretch",
            help=f"In the seven days up to yesterday; {then} in the seven before.",
        )
    days = f"{this['from']} up to {this['to']}, against the seven days before"
    st.caption(f"{_words(scope, organization, days)}. Closed-won counts by closing date, not by creation.")
    week = {"on": today.isoformat(), "against": (today - timedelta(days=7)).isoformat()}
    link("pipeline", "What this did to the pipeline, part by part", **week)


def _quarter(who: SignIn, organization: Organization, scope: Scope, today: date, version: str | None) -> None:
    st.header("What will we close this quarter?", anchor=False)
    period = named(PeriodName.THIS_QUARTER, today, fiscal_start_month=organization.fiscal_year_start_month)
    days: Asked = {"from": period.start.isoformat(), "to": period.end.isoformat()}
    asked = {**scope.of_any_period(), **days}
    answer = client.figures(who, "forecast", asked, version=version)
    columns = [("Forecast", "forecast_minor"), ("Won already", "booked_amount_minor"), ("Best case", "best_case_minor")]
    for place, (label, figure) in zip(st.columns(len(columns)), columns, strict=True):
        place.metric(
            label, money.short_amount(_figure(answer, figure), organization.currency), border=True, height="stretch"
        )
    if scope.pipeline is None and not scope.whose.value:  # goals are of all pipelines, this one of everybody
        goals.tile(who, organization, {**days, "as_of": asked["as_of"]}, version=version)
    states.provenance(answer, _words(scope, organization, str(period)))


def _restated(who: SignIn, organization: Organization, scope: Scope, today: date, version: str | None) -> None:
    """Whether last quarter's bookings are still what they were a week ago."""
    st.header("Has the past changed?", anchor=False)
    period = named(PeriodName.LAST_QUARTER, today, fiscal_start_month=organization.fiscal_year_start_month)
    asked = {**scope.of_any_period(), "from": period.start.isoformat(), "to": period.end.isoformat()}
    answer = client.figures(who, "bookings", asked, version=version)
    st.text(f"Booked in {period}: {money.amount(_figure(answer, 'won_amount_minor'), organization.currency)}.")
    restated.note(who, organization, "bookings", "won_amount_minor", asked, f"Booked in {period}")


def _words(scope: Scope, organization: Organization, what: str) -> str:
    """A question in words: what, of which pipeline, whose, as known when."""
    pipeline = scope.pipeline.name if scope.pipeline else "all pipelines"
    return " · ".join([what, pipeline, *scope.whose.words(), figures.known(scope, organization)])


def _period(today: date, days: int) -> Asked:
    first = today - timedelta(days=days)
    return {"from": first.isoformat(), "to": (first + timedelta(days=7)).isoformat()}


def _figure(answer: FiguresAnswer, name: str) -> int:
    return int(answer.rows[0].get(name) or 0) if answer.rows else 0
