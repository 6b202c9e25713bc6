"""What became of the pipeline between two days, part by part: a chart, a table, and the deals behind each part."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dashboards import charts, client, drill_down, links, money, restated, states, tables
from dashboards.answers import Organization
from dashboards.session import SignIn

_METRIC = "pipeline_changes"
_OPENS = _METRIC + links.ROW

Asked = dict[str, str | int | None]


class _Part(NamedTuple):
    """One part of the change: its figure's name, what it is called, and how its amount goes into the sum."""

    figure: str
    label: str
    sign: int


_ALT = "Open amount before, every change of it, and after; the table has the figures"
_ENDS = ("opening", "ending")
_PARTS = (
    _Part("opening", "Open before", 1),
    _Part("created", "Created", 1),
    _Part("reopened", "Reopened", 1),
    _Part("increased", "Amount raised", 1),
    _Part("decreased", "Amount lowered", -1),
    _Part("revalued", "Exchange rates", 1),
    _Part("won", "Won", -1),
    _Part("lost", "Lost", -1),
    _Part("ending", "Open after", 1),
    _Part("moved", "In another stage", 0),
    _Part("redated", "With another close date", 0),
)


def draw(
    who: SignIn,
    organization: Organization,
    of: Asked,
    *,
    earlier: date,
    later: date,
    question: str,
    version: str | None,
) -> None:
    """Draw what changed of some deals from the end of the one day to the end of the other."""
    st.header("What changed in between?", anchor=False)
    if earlier >= later:
        states.nothing_here("No time lies between these days", "Choose an earlier day to compare with above.")
        return
    first, end = earlier + timedelta(days=1), later + timedelta(days=1)
    asked: Asked = {**of, "from": first.isoformat(), "to": end.isoformat()}
    answer = client.figures(who, _METRIC, asked, version=version)
    row = answer.rows[0] if answer.rows else {}
    shown = [part for part in _PARTS if part.figure in _ENDS or row.get(f"{part.figure}_deals")]
    steps = pd.DataFrame(list(_steps(row, [part for part in shown if part.sign], organization.currency)))
    with st.container(border=True):

        def chart(key: str, is_narrow: bool) -> None:
            drawn = charts.waterfall(steps, states.palette(), is_narrow=is_narrow)
            st.altair_chart(
                drawn, key=key, alt="Open amount before, every change, and after; the table has the figures"
            )

        states.at_widths("pipeline_changes", chart)
        states.provenance(answer, question)
        restated.note(who, organization, _METRIC, "ending_deals", asked, "Open at the end")
    table = pd.DataFrame(
        [
            {
                "Part": part.label,
                "Deals": money.count(row.get(f"{part.figure}_deals") or 0),
                "Amount": _written(row, part, organization.currency),
            }
            for part in shown
        ]
    )
    ids = [part.figure for part in shown]
    alt = "Every change of the pipeline between the two days"
    opens = drill_down.selectable("pipeline_changes_table", ids, _OPENS)
    tables.show(table, alt=alt, **opens)
    st.caption("The last lines change no sum: these deals were open on both days.")
    _open(who, row, shown, asked, version=version, currency=organization.currency)


def _steps(row: dict[str, Any], parts: list[_Part], currency: str) -> Iterator[dict[str, Any]]:
    """Where each bar begins and ends: both ends stand on nothing, what lies between on what was before it."""
    stand = 0
    for rank, part in enumerate(parts):
        change = part.sign * int(row.get(f"{part.figure}_amount_minor") or 0)
        start, stand = (0, change) if part.figure in _ENDS else (stand, stand + change)
        kind = charts.STAND if part.figure in _ENDS else charts.MORE if change >= 0 else charts.LESS
        yield {
            "name": part.label,
            "rank": rank,
            "start": money.major(start, currency),
            "end": money.major(stand, currency),
            "right": money.major(max(start, stand), currency),
            "kind": kind,
            "text": _written(row, part, currency),
        }


def _written(row: dict[str, Any], part: _Part, currency: str) -> str:
    amount = int(row.get(f"{part.figure}_amount_minor") or 0)
    if part.figure in _ENDS or not part.sign or not amount:
        return money.short_amount(amount, currency)
    change = part.sign * amount
    return ("+" if change > 0 else "−") + money.short_amount(abs(change), currency)


def _open(
    who: SignIn, row: dict[str, Any], shown: list[_Part], asked: Asked, *, version: str | None, currency: str
) -> None:
    """The deals of the chosen part."""
    labels = {part.figure: part.label for part in shown}
    links.restore(_OPENS, "", links.one_of(list(labels)))
    if links.chosen(_OPENS) not in labels:
        links.choose(_OPENS, "")
    chosen = st.selectbox(
        "Open the deals of this part",
        ["", *labels],
        format_func=lambda one: labels[one] if one else "Choose one",
        key=_OPENS,
        persist_state="session",
    )
    if chosen:
        measure = f"{chosen}_deals"
        cell = drill_down.Cell(labels[chosen], _METRIC, {**asked, "measure": measure}, row.get(measure))
        drill_down.show(who, cell, closes=_OPENS, version=version, currency=currency)
