"""The controls that pages share, and the question that they add up to. Every choice is in the page's address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import streamlit as st

from contracts.stages import StageKind
from dashboards import client, frames, groups, links, money, periods
from dashboards.answers import Organization, Pipeline
from dashboards.periods import Period, PeriodName
from dashboards.session import SignIn

DEFAULT_PERIOD = PeriodName.LAST_QUARTER

ORDERS = {
    "reached": "Reached this stage or a later one",
    "visited": "Were in this stage themselves",
    "strict": "Went through every stage in order",
}
REGRESSES = {"furthest": "Keep their furthest stage", "current": "Fall to their present stage"}
UNITS = {"deals": "Deals", "amount": "Amount"}
_LONGEST_WINDOW = 3650


@dataclass(frozen=True)
class Whose:
    """Whose deals count: a person's or a team's, as the API takes it, and what they are called. Empty: everybody's."""

    value: str = ""
    name: str = ""

    def words(self) -> list[str]:
        """As a question says it."""
        return [f"of {self.name}"] if self.value else []


@dataclass(frozen=True)
class Scope:
    """What every page asks about: one pipeline (or all), a period, whose deals, and what was known when."""

    pipeline: Pipeline | None
    period_name: PeriodName
    period: Period
    as_of: datetime | None
    whose: Whose = Whose()

    def parameters(self) -> dict[str, str | int | None]:
        """As the API takes them."""
        return {
            "pipeline_id": self.pipeline.id if self.pipeline else None,
            "from": self.period.start.isoformat(),
            "to": self.period.end.isoformat(),
            "as_of": self.as_of.astimezone(UTC).isoformat() if self.as_of else None,
            "whose": self.whose.value or None,
        }

    def of_any_period(self) -> dict[str, str | int | None]:
        """As the API takes them, without the period: for questions that have one of their own."""
        return {name: value for name, value in self.parameters().items() if name not in ("from", "to")}

    def link(self) -> dict[str, str | None]:
        """As the address carries them."""
        custom = self.period_name is PeriodName.CUSTOM
        return {
            "pipeline": self.pipeline.id if self.pipeline else None,
            "period": self.period_name.value,
            "whose": self.whose.value or None,
            "from": self.period.start.isoformat() if custom else None,
            "to": self.period.end.isoformat() if custom else None,
            "as_of": self.as_of.replace(tzinfo=None).isoformat(timespec="minutes") if self.as_of else None,
        }


@dataclass(frozen=True)
class Counting:
    """How a funnel counts (see the funnel's parameters in the metric's description)."""

    cohort: str
    order: str
    regress: str
    window_days: int | None
    unit: str
    group_by: str

    def parameters(self) -> dict[str, str | int | None]:
        """As the API takes them, without the grouping."""
        return {
            "cohort": self.cohort,
            "order": self.order,
            "regress": self.regress,
            "window_days": self.window_days,
            "unit": self.unit,
        }

    def link(self) -> dict[str, str | None]:
        """As the address carries them."""
        return {
            "cohort": None if self.cohort == "created" else self.cohort,
            "order": None if self.order == "reached" else self.order,
            "regress": None if self.regress == "furthest" else self.regress,
            "window": str(self.window_days) if self.window_days else None,
            "unit": None if self.unit == "deals" else self.unit,
            "by": self.group_by or None,
        }


#: As everybody counts who has chosen nothing else.
USUAL = Counting("created", "reached", "furthest", None, "deals", "")


def pipeline(known: list[Pipeline], *, with_all: bool = False) -> Pipeline | None:
    """The pipeline control. None stands for all pipelines."""
    names = {item.id: item.name for item in known}
    options = ([""] if with_all else []) + list(names)
    if links.chosen("pipeline") not in options:
        links.forget("pipeline")
    links.restore("pipeline", options[0], links.one_of(options))
    chosen = st.selectbox(
        "Pipeline",
        options,
        format_func=lambda key: names.get(key, "All pipelines"),
        key="pipeline",
        persist_state="session",
    )
    return next((item for item in known if item.id == chosen), None)


def period(organization: Organization, today: date) -> tuple[PeriodName, Period]:
    """The period control; chosen days get two date fields of their own."""
    links.restore("period", DEFAULT_PERIOD.value, links.one_of([name.value for name in PeriodName]))
    name = PeriodName(
        st.selectbox(
            "Period",
            [name.value for name in PeriodName],
            format_func=lambda value: periods.LABELS[PeriodName(value)],
            key="period",
            persist_state="session",
        )
    )
    month = organization.fiscal_year_start_month
    if name is not PeriodName.CUSTOM:
        return name, periods.named(name, today, fiscal_start_month=month)
    usual = periods.named(DEFAULT_PERIOD, today, fiscal_start_month=month)
    links.restore("from", usual.start, read_day)
    links.restore("to", usual.end, read_day)
    start: date = st.date_input("From", key="from", format="YYYY-MM-DD", persist_state="session")
    end: date = st.date_input("Up to, not including", key="to", format="YYYY-MM-DD", persist_state="session")
    if end <= start:
        end = start + timedelta(days=1)
        st.caption(
            f":material/error: That is no period: the end lies before it begins. Shown is {start:%-d %b %Y} alone."
        )
    return name, Period(start, end)


def as_of(organization: Organization, now: datetime) -> datetime | None:
    """The control for what was known when; None is now."""
    links.restore("as_of_mode", "then" if "as_of" in st.query_params else "now", links.one_of(["now", "then"]))
    mode = st.selectbox(
        "What was known",
        ["now", "then"],
        format_func=lambda value: "Now" if value == "now" else "At an earlier time",
        key="as_of_mode",
        help="Shows the figures as this page would have shown them then: later corrections are left out.",
        persist_state="session",
    )
    if mode == "now":
        return None
    links.restore("as_of", _first_useful(organization, now), read_minute)
    chosen: datetime = st.datetime_input("As known at", key="as_of", format="YYYY-MM-DD", persist_state="session")
    return chosen.replace(tzinfo=organization.zone)


def _first_useful(organization: Organization, now: datetime) -> datetime:
    """The start of today, or the first hour after the organization came to be: before it nothing was known."""
    today = now.astimezone(organization.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    since = organization.created_at
    first = today if since is None else max(today, min(since + timedelta(hours=1), now))
    return first.astimezone(organization.zone).replace(second=0, microsecond=0, tzinfo=None)


def counting(of: Pipeline, splits: Mapping[str, str]) -> Counting:
    """The controls of how a funnel counts, in one row; `splits` are the groups that can be compared."""
    cohorts = {"created": "Created in the period", "closed": "Closed in the period"} | {
        f"entered:{stage.id}": f"Entered “{stage.name}” in the period"
        for stage in of.stages
        if stage.kind is not StageKind.LOST
    }
    if links.chosen("cohort") not in cohorts:
        links.forget("cohort")
    columns = st.columns(2) * 2
    with columns[0]:
        cohort = choose("Which deals", "cohort", cohorts)
    with columns[1]:
        order = choose("A stage counts the deals that", "order", ORDERS)
    with columns[2]:
        regress = choose("Deals moved back", "regress", REGRESSES)
    with columns[3]:
        links.restore("window", None, _window)
        window = st.number_input(
            "Within days",
            min_value=1,
            max_value=_LONGEST_WINDOW,
            value=None,
            step=1,
            placeholder="No limit",
            key="window",
            help="Reads each deal as it stood so many days after it entered the cohort, so that ages compare alike.",
            persist_state="session",
        )
    links.restore("by", "", links.one_of(list(splits)))
    links.restore("unit", "deals", links.one_of(list(UNITS)))
    return Counting(cohort, order, regress, window, st.session_state["unit"], st.session_state["by"])


def unit() -> None:
    """The control of what is counted; `counting` picks its value up."""
    choose("Count", "unit", UNITS)


def group(splits: Mapping[str, str]) -> None:
    """The control of the comparison; `counting` has picked its value up."""
    choose("Compare by", "by", dict(splits))


def show_days(chosen: Period) -> None:
    """Set the period control to these days."""
    links.choose("period", PeriodName.CUSTOM.value)
    links.choose("from", chosen.start)
    links.choose("to", chosen.end)


def scope_bar(who: SignIn, organization: Organization, known: list[Pipeline], *, with_all: bool = False) -> Scope:
    """The one bar on top of every page that asks about figures: pipeline, period, whose, and what was known when."""
    now = datetime.now(UTC)
    with st.container(border=True, key="scope_bar"):
        columns = st.columns(4)
        with columns[0]:
            of = pipeline(known, with_all=with_all) or (None if with_all else known[0])
        with columns[1]:
            name, days = period(organization, now.astimezone(organization.zone).date())
        with columns[2]:
            theirs = whose(who)
        with columns[3]:
            known_at = as_of(organization, now)
    return Scope(of, name, days, known_at, theirs)


def standing_bar(who: SignIn, organization: Organization, known: list[Pipeline]) -> Scope:
    """The same bar for a page whose questions have periods of their own; the period chosen elsewhere stays chosen."""
    now = datetime.now(UTC)
    today = now.astimezone(organization.zone).date()
    with st.container(border=True, key="scope_bar"):
        columns = st.columns(3)
        with columns[0]:
            of = pipeline(known, with_all=True)
        with columns[1]:
            theirs = whose(who)
        with columns[2]:
            known_at = as_of(organization, now)
    usual = periods.named(DEFAULT_PERIOD, today, fiscal_start_month=organization.fiscal_year_start_month)
    return Scope(of, DEFAULT_PERIOD, usual, known_at, theirs)


def whose(who: SignIn, label: str = "Whose deals", key: str = "whose") -> Whose:
    """The control for a person or team whose deals alone are asked about."""
    teams = {f"team:{one}": f"Team {name}" for one, name in client.teams(who).items()}
    people = {f"owner:{one}": name for one, name in client.people(who).items()}
    names = {"": "Everybody"} | frames.distinct(teams) | frames.distinct(people)
    links.restore(key, "", links.one_of(list(names)))
    if links.chosen(key) not in names:
        links.choose(key, "")
    chosen = st.selectbox(
        label,
        list(names),
        format_func=names.__getitem__,
        key=key,
        help="Deals that are theirs, as known; of a team, its people's and those of the teams below it.",
        persist_state="session",
    )
    return Whose(chosen, names[chosen])


def counting_bar(of: Pipeline, splits: Mapping[str, str] = groups.USUAL) -> Counting:
    """How it is counted, closed by default, with its state in words beside it."""
    left, right = st.columns([1, 4], vertical_alignment="center")
    with left.popover("How it is counted", icon=":material/tune:"):
        unit()
        counts = counting(of, splits)
    cohort = {"created": "created", "closed": "closed"}.get(counts.cohort, "that entered the chosen stage")
    words = [f"deals {cohort} in the period", f"a stage counts deals that {_inside(ORDERS[counts.order])}"]
    words.append(f"deals moved back {_inside(REGRESSES[counts.regress])}")
    words.append(f"as they stood after {counts.window_days} days" if counts.window_days else "as they stand")
    right.caption(" · ".join(words))
    return counts


def describe(scope: Scope, counts: Counting, organization: Organization) -> str:
    """The question in words, to stand under the chart that answers it."""
    known = f"as known at {money.moment(scope.as_of, organization.zone)}" if scope.as_of else "as known now"
    cohort = {"created": "created", "closed": "closed"}.get(counts.cohort, "that entered the chosen stage")
    parts = [
        f"Deals {cohort} {scope.period}",
        scope.pipeline.name if scope.pipeline else "all pipelines",
        *scope.whose.words(),
        f"each stage counts deals that {_inside(ORDERS[counts.order])}",
        f"deals moved back {_inside(REGRESSES[counts.regress])}",
        f"as they stood after {counts.window_days} days" if counts.window_days else "as they stand",
        f"counted in {organization.currency}" if counts.unit == "amount" else "counted in deals",
        f"{known} ({organization.time_zone})",
    ]
    return " · ".join(parts)


def choose(label: str, key: str, options: dict[str, str]) -> str:
    """A control for one of the options (value in the address -> label)."""
    links.restore(key, next(iter(options)), links.one_of(list(options)))
    return st.selectbox(label, list(options), format_func=options.__getitem__, key=key, persist_state="session")


def _inside(label: str) -> str:
    return label[0].lower() + label[1:]


def read_day(text: str) -> date | None:
    """A day of an address; None where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_minute(text: str) -> datetime | None:
    """An instant of an address, to the minute; None where it is none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def _window(text: str) -> int | None:
    return int(text) if text.isdecimal() and 1 <= int(text) <= _LONGEST_WINDOW else None
