"""The compare page: why conversion changed between two periods, step by step and group by group, or by chance."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dashboards import client, controls, figures, frames, groups, links, money, restated, sentences, states, tables
from dashboards.answers import FiguresAnswer, Me, Organization
from dashboards.controls import Scope
from dashboards.pages import Page
from dashboards.periods import Period, before, year_before
from dashboards.session import SignIn

PAGE = Page("Compare", icon="compare_arrows", group="Analyse", position=2)

_BY = {"owner": "Owner", "team": "Team", "source": "Source"}
_AGAINST = {
    "": "The period before",
    "year": "The same days a year before",
    "days": "Other days",
    "whose": "Somebody else's deals",
    "then": "What was known earlier",
}


class _Other(NamedTuple):
    """What a scope is compared with: as the API takes it, as the address has it, and what both are called."""

    asked: dict[str, str | int | None]
    link: dict[str, str | None]
    name: str
    between: tuple[str, str] | None = None


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Compare", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        scope = controls.scope_bar(who, organization, known)
        counts = controls.counting_bar(scope.pipeline or known[0])
        left, right = st.columns(2)
        with left:
            ways = _BY | groups.own_fields(who)
            by = controls.choose("Explained by", "why_by", ways)
        with right:
            against = controls.choose("Against", "against_what", _AGAINST)
            other = _other(who, organization, scope, against)
        links.publish(scope.link() | counts.link() | {"by": None, "why_by": by} | other.link)
        asked = {**scope.parameters(), **counts.parameters(), "unit": None, "group_by": by, **other.asked}
        with st.spinner("Comparing"):
            answer = groups.named(who, client.figures(who, "conversion_change", asked, version=version))
        mine = scope.whose.name if against == "whose" else str(scope.period)
        st.header(states.plain(f"{mine} against {other.name}"), anchor=False)
        _whole(answer, ways[by], other.between, is_of_one_age=bool(counts.window_days or other.between))
        _steps(answer, other.between)
        question = figures.describe(scope, organization, f"Deals {counts.cohort.partition(':')[0]}")
        states.provenance(answer, f"{question} · against {other.name} · explained by {ways[by].lower()}")
        later = {**scope.parameters(), **counts.parameters(), "unit": None}
        restated.note(who, organization, "funnel", "cohort", later, "Deals of the later period")


def _other(who: SignIn, organization: Organization, scope: Scope, against: str) -> _Other:
    """The controls of what it is compared with."""
    link: dict[str, str | None] = {"against_what": against or None}
    earlier = before(scope.period)
    match against:
        case "year":
            earlier = year_before(scope.period)
        case "days":
            earlier = _days(earlier)
        case "whose":
            theirs = controls.whose(who, "Whose", "before_whose")
            asked: dict[str, str | int | None] = {"before_whose": theirs.value or "everybody"}
            link["before_whose"] = theirs.value or None
            return _Other(asked, link, theirs.name, (scope.whose.name, theirs.name))
        case "then":
            then = _then(organization)
            asked = {"before_as_of": then.astimezone(UTC).isoformat()}
            link["before_as_of"] = then.replace(tzinfo=None).isoformat(timespec="minutes")
            known = f"what was known at {money.moment(then, organization.zone)}"
            return _Other(asked, link, known, ("as known", "earlier"))
        case _:
            return _Other({}, link, str(earlier))
    days = {"before_from": earlier.start.isoformat(), "before_to": earlier.end.isoformat()}
    if against == "days":
        link.update(days)
    return _Other({**days}, link, str(earlier))


def _days(usual: Period) -> Period:
    links.restore("before_from", usual.start, controls.read_day)
    links.restore("before_to", usual.end, controls.read_day)
    left, right = st.columns(2)
    start: date = left.date_input("From", key="before_from", format="YYYY-MM-DD", persist_state="session")
    end: date = right.date_input("Up to, not including", key="before_to", format="YYYY-MM-DD", persist_state="session")
    return Period(start, max(end, start + timedelta(days=1)))


def _then(organization: Organization) -> datetime:
    week_ago = datetime.now(organization.zone) - timedelta(days=7)
    usual = week_ago.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    links.restore("before_as_of", usual, controls.read_minute)
    chosen: datetime = st.datetime_input("As known at", key="before_as_of", persist_state="session")
    return chosen.replace(tzinfo=organization.zone)


def _whole(answer: FiguresAnswer, way: str, between: tuple[str, str] | None, *, is_of_one_age: bool) -> None:
    total = next((row for row in answer.totals if row["is_total"] and row["stage_id"] is None), None)
    if total is None:
        states.nothing_here("Nothing to compare", "Neither period has deals. Choose another one above.")
        return
    parts = [row for row in answer.totals if not row["is_total"] and row["stage_id"] is None]
    names = _names(answer, parts)
    with st.container(border=True):
        st.text(sentences.difference(total, "Won of all", between=between))
        if said := sentences.cause(parts, names, way.lower()):
            st.text(said)
        if not is_of_one_age:
            st.caption(
                "The later deals have had less time. “Within days” under “How it is counted” compares equal ages."
            )
    tables.show(_table(parts, names, "won", "cohort", between), alt="Effect of every group")


def _steps(answer: FiguresAnswer, between: tuple[str, str] | None) -> None:
    st.header("Step by step", anchor=False)
    for total in (row for row in answer.totals if row["is_total"] and row["stage_id"] is not None):
        step = f"{answer.label(total['from_stage_id'])} → {answer.label(total['stage_id'])}"
        parts = [row for row in answer.rows if row["stage_id"] == total["stage_id"]]
        with st.expander(states.plain(f"{step}: {_short(total)}")):
            st.text(sentences.difference(total, step, between=between))
            table = _table(parts, _names(answer, parts), "entered", "entered_before", between)
            tables.show(table, alt=f"Effect of every group on {step}")


def _short(total: dict[str, Any]) -> str:
    if total["difference"] is None:
        return money.NOTHING
    return f"{money.share(total['conversion'])}, {money.points(total['difference']) or 'unchanged'}"


def _names(answer: FiguresAnswer, parts: list[dict[str, Any]]) -> dict[str, str]:
    return frames.distinct({str(row["group"]): frames.group_name(answer, row["group"]) for row in parts})


def _table(
    parts: list[dict[str, Any]], names: dict[str, str], part: str, whole: str, between: tuple[str, str] | None
) -> pd.DataFrame:
    named = between if between and between[0] != between[1] else ("Now", "Before")
    now, earlier = (name[:1].upper() + name[1:] for name in named)

    def effect(row: dict[str, Any]) -> float:
        return abs(float(row["rate_effect"] or 0) + float(row["mix_effect"] or 0))

    return pd.DataFrame(
        [
            {
                "Name": names[str(row["group"])],
                earlier: _of(row, part, whole, "_earlier"),
                now: _of(row, part, whole, ""),
                "By its rate": _points(row["rate_effect"]),
                "By its share": _points(row["mix_effect"]),
            }
            for row in sorted(parts, key=effect, reverse=True)
        ]
    )


def _of(row: dict[str, Any], part: str, whole: str, suffix: str) -> str:
    rate = money.share(row[f"conversion{suffix}"])
    return f"{rate} ({money.count(row[part + suffix])} of {money.count(row[whole + suffix])})"


def _points(effect: float | None) -> str:
    return money.NOTHING if effect is None else money.points(effect) or "0 pts"
