"""A metric's answer as a panel: bars of its first figure, a table of all of them, the question that was asked, and the
deals behind each row. Pages say which metric and which columns; every figure is the API's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboards import charts, drill_down, frames, links, money, restated, states, tables
from dashboards.answers import FiguresAnswer, Organization
from dashboards.client import Parameters
from dashboards.controls import Scope
from dashboards.session import SignIn

_MOST_BARS = 15

Kind = Literal["count", "money", "share", "days", "text"]


@dataclass(frozen=True)
class Column:
    """A figure of each row: the answer's name for it, its heading, and how it is written."""

    figure: str
    heading: str
    kind: Kind = "count"


@dataclass(frozen=True)
class Panel:
    """What a panel shows. `measure` is the figure whose deals a row opens; None where a row opens none.

    `restates` is the figure of all rows that is looked at for restatements; `measure`, where a row is no stage.
    """

    key: str
    columns: Sequence[Column]
    measure: str | None = None
    heading: str = "Name"
    is_ranked: bool = True
    restates: str | None = None


def write(value: Any, kind: Kind, currency: str) -> str:  # noqa: ANN401  # a cell of an answer
    """A figure as every page writes it."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return money.NOTHING
    match kind:
        case "count":
            return money.count(int(value))
        case "money":
            return money.short_amount(round(value), currency)
        case "share":
            return money.share(float(value))
        case "days":
            return money.days(float(value))
        case _:
            return str(value)


def draw(
    who: SignIn,
    organization: Organization,
    answer: FiguresAnswer,
    asked: Parameters,
    panel: Panel,
    *,
    question: str,
    version: str | None,
) -> None:
    """Draw the panel; a row that is chosen opens its deals."""
    rows = {_id(row): row for row in answer.rows}
    if not rows:
        states.nothing_here(
            "Nothing to show", "There is nothing in this scope. Choose another period or pipeline above."
        )
        return
    names = frames.distinct({key: name_of(answer, row) for key, row in rows.items()})
    first, currency = panel.columns[0], organization.currency
    keys = list(rows)
    if panel.is_ranked:
        keys.sort(key=lambda key: (-(rows[key].get(first.figure) or 0), names[key]))
    with st.container(border=True):
        if len(keys) > _MOST_BARS:
            st.caption(f"{_MOST_BARS} of {len(keys)} shown; all in the table.")
        bars = _bars(keys[:_MOST_BARS], rows, names, first, currency)
        alt = f"{first.heading} by {panel.heading.lower()}; the table below has every figure"

        def bar_chart(key: str, is_narrow: bool) -> None:
            st.altair_chart(charts.ranking(bars, states.palette(), is_narrow=is_narrow), key=key, alt=alt)

        states.at_widths(f"{panel.key}_bars", bar_chart)
        states.provenance(answer, question)
        by_stage = any(row.get("stage_id") for row in answer.rows)
        if measure := panel.restates or (None if by_stage else panel.measure):
            what = next((one.heading for one in panel.columns if one.figure == measure), first.heading)
            restated.note(who, organization, answer.metric, measure, asked, what)
    table = pd.DataFrame(
        [
            {panel.heading: names[key]}
            | {column.heading: write(rows[key].get(column.figure), column.kind, currency) for column in panel.columns}
            for key in keys
        ]
    )
    chosen = panel.key + links.ROW
    opens = (
        drill_down.selectable(f"{panel.key}_table", keys, chosen) if panel.measure else {"key": f"{panel.key}_table"}
    )
    tables.show(table, alt=f"{panel.heading}: every figure", **opens)
    st.download_button(
        "Download CSV",
        frames.as_csv(_file(keys, rows, names, panel, answer)),
        file_name=f"{answer.metric}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{panel.key}_csv",
    )
    _open(who, rows, names, panel, asked, version=version, currency=currency)


def heat_map(key: str, cells: pd.DataFrame, *, alt: str, on_select: Callable[[str], None] | None = None) -> None:
    """Groups against stages, at both widths; says where shares stand in the table alone."""
    stages = cells["stage_id"].nunique()

    def draw_one(chart: str, is_narrow: bool) -> None:
        drawn = charts.cohorts(cells, states.palette(), is_narrow=is_narrow)
        if on_select is None:
            st.altair_chart(drawn, key=chart, alt=alt)
        else:
            st.altair_chart(drawn, key=chart, alt=alt, on_select=partial(on_select, chart))
        if charts.is_crowded(stages, is_narrow=is_narrow):
            st.caption(f"{stages} stages: the darker, the larger the share; the table has the figures.")

    states.at_widths(key, draw_one)


def known(scope: Scope, organization: Organization) -> str:
    """Of which day the knowledge is, in words."""
    when = f"as known at {money.moment(scope.as_of, organization.zone)}" if scope.as_of else "as known now"
    return f"{when} ({organization.time_zone})"


def describe(scope: Scope, organization: Organization, what: str) -> str:
    """The question in words, to stand under the panel that answers it."""
    pipeline = scope.pipeline.name if scope.pipeline else "all pipelines"
    return " · ".join([what, str(scope.period), pipeline, *scope.whose.words(), known(scope, organization)])


def _open(
    who: SignIn,
    rows: Mapping[str, dict[str, Any]],
    names: Mapping[str, str],
    panel: Panel,
    asked: Parameters,
    *,
    version: str | None,
    currency: str,
) -> None:
    """The deals behind the chosen row, by click or by name."""
    if panel.measure is None:
        return
    chosen = panel.key + links.ROW
    links.restore(chosen, "", links.one_of(list(rows)))
    if links.chosen(chosen) not in rows:
        links.choose(chosen, "")
    key = st.selectbox(
        "Open the deals of",
        ["", *rows],
        format_func=lambda one: names[one] if one else "Choose one",
        key=chosen,
        persist_state="session",
    )
    if not key:
        return
    row = rows[key]
    cell: dict[str, str | int | None] = {**asked, "measure": panel.measure}
    if asked.get("group_by"):
        cell["group"] = row.get("group") or frames.NO_GROUP
    if row.get("stage_id"):
        cell["stage_id"] = row["stage_id"]
    what = f"{names[key]}, {panel.columns[0].heading.lower()}"
    found = drill_down.Cell(what, _metric(panel), cell, row.get(panel.measure))
    drill_down.show(who, found, closes=chosen, version=version, currency=currency)


def _metric(panel: Panel) -> str:
    return panel.key.partition(":")[0]


def _id(row: Mapping[str, Any]) -> str:
    return f"{row.get('group') or frames.NO_GROUP}|{row.get('stage_id') or ''}"


def name_of(answer: FiguresAnswer, row: Mapping[str, Any]) -> str:
    """What a row is called: its group, its stage, or both."""
    stage = answer.label(row["stage_id"]) if row.get("stage_id") else ""
    if answer.parameters.get("group_by") in {None, "none"}:
        return stage or "All"
    group = frames.group_name(answer, row.get("group"))
    return f"{group}, {stage}" if stage else group


def _bars(
    keys: Sequence[str], rows: Mapping[str, dict[str, Any]], names: Mapping[str, str], first: Column, currency: str
) -> pd.DataFrame:
    values = [rows[key].get(first.figure) or 0 for key in keys]
    return pd.DataFrame(
        {
            "name": [names[key] for key in keys],
            "rank": range(len(keys)),
            "value": [money.major(value, currency) if first.kind == "money" else float(value) for value in values],
            "text": [write(rows[key].get(first.figure), first.kind, currency) for key in keys],
        }
    )


def _file(
    keys: Sequence[str],
    rows: Mapping[str, dict[str, Any]],
    names: Mapping[str, str],
    panel: Panel,
    answer: FiguresAnswer,
) -> pd.DataFrame:
    lines = []
    for key in keys:
        line: dict[str, Any] = {panel.heading: names[key]}
        for column in panel.columns:
            value, code = rows[key].get(column.figure), rows[key].get("currency")
            is_money = column.kind == "money" and value is not None
            line[column.heading] = frames.plain_amount(round(value), code) if is_money and value is not None else value
        lines.append(line | {"as_of": answer.as_of.isoformat(), "definition": f"{answer.metric} v{answer.version}"})
    return pd.DataFrame(lines)
