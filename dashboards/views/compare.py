"""The compare page: why conversion changed between two periods, step by step and group by group, or by chance."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, controls, figures, frames, links, money, restated, sentences, states
from dashboards.answers import FiguresAnswer, Me
from dashboards.pages import Page
from dashboards.periods import before
from dashboards.session import SignIn

PAGE = Page("Compare", icon="compare_arrows", group="Analyse", position=2)

_BY = {"owner": "Owner", "team": "Team", "source": "Source"}


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
        by = controls.choose("Explained by", "why_by", _BY)
        links.publish(scope.link() | counts.link() | {"by": None, "why_by": by})
        asked = {**scope.parameters(), **counts.parameters(), "unit": None, "group_by": by}
        with st.spinner("Comparing"):
            answer = client.figures(who, "conversion_change", asked, version=version)
        st.header(f"{scope.period} against {before(scope.period)}", anchor=False)
        _whole(answer, by)
        _steps(answer)
        question = figures.describe(scope, organization, f"Deals {counts.cohort.partition(':')[0]}")
        states.provenance(answer, f"{question} · explained by {_BY[by].lower()}")
        restated.note(who, organization, "funnel", "cohort", asked, "Deals of the later period")


def _whole(answer: FiguresAnswer, by: str) -> None:
    total = next((row for row in answer.totals if row["is_total"] and row["stage_id"] is None), None)
    if total is None:
        states.nothing_here("Nothing to compare", "Neither period has deals. Choose another one above.")
        return
    groups = [row for row in answer.totals if not row["is_total"] and row["stage_id"] is None]
    names = _names(answer, groups)
    with st.container(border=True):
        st.text(sentences.difference(total, "Won of all"))
        if said := sentences.cause(groups, names, _BY[by].lower()):
            st.text(said)
        if not answer.parameters.get("window_days"):
            st.caption(
                "The later deals have had less time. “Within days” under “How it is counted” compares equal ages."
            )
    st.dataframe(_table(groups, names, part="won", whole="cohort"), hide_index=True, alt="Effect of every group")


def _steps(answer: FiguresAnswer) -> None:
    st.header("Step by step", anchor=False)
    for total in (row for row in answer.totals if row["is_total"] and row["stage_id"] is not None):
        step = f"{answer.label(total['from_stage_id'])} → {answer.label(total['stage_id'])}"
        groups = [row for row in answer.rows if row["stage_id"] == total["stage_id"]]
        with st.expander(states.plain(f"{step}: {_short(total)}")):
            st.text(sentences.difference(total, step))
            table = _table(groups, _names(answer, groups), part="entered", whole="entered_before")
            st.dataframe(table, hide_index=True, alt=f"Effect of every group on {step}")


def _short(total: dict[str, Any]) -> str:
    if total["difference"] is None:
        return money.NOTHING
    return f"{money.share(total['conversion'])}, {money.points(total['difference']) or 'unchanged'}"


def _names(answer: FiguresAnswer, groups: list[dict[str, Any]]) -> dict[str, str]:
    return frames.distinct({str(row["group"]): frames.group_name(answer, row["group"]) for row in groups})


def _table(groups: list[dict[str, Any]], names: dict[str, str], *, part: str, whole: str) -> pd.DataFrame:
    def effect(row: dict[str, Any]) -> float:
        return abs(float(row["rate_effect"] or 0) + float(row["mix_effect"] or 0))

    return pd.DataFrame(
        [
            {
                "Name": names[str(row["group"])],
                "Before": _of(row, part, whole, "_earlier"),
                "Now": _of(row, part, whole, ""),
                "By its rate": _points(row["rate_effect"]),
                "By its share": _points(row["mix_effect"]),
            }
            for row in sorted(groups, key=effect, reverse=True)
        ]
    )


def _of(row: dict[str, Any], part: str, whole: str, suffix: str) -> str:
    rate = money.share(row[f"conversion{suffix}"])
    return f"{rate} ({money.count(row[part + suffix])} of {money.count(row[whole + suffix])})"


def _points(effect: float | None) -> str:
    return money.NOTHING if effect is None else money.points(effect) or "0 pts"
