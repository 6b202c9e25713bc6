"""The deals behind a figure, in a dialog that stands in the address: what was clicked opens, and equals the figure.

Whoever uses no mouse chooses stage, group and figure beside the chart, or a row of the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from contracts.stages import StageKind
from dashboards import charts, client, frames, links, money, states, tables
from dashboards.answers import DealsAnswer, FunnelAnswer, FunnelRow
from dashboards.client import Parameters
from dashboards.session import SignIn

FUNNEL_MEASURES = {"entered": "Entered", "still_here": "Still here", "lost": "Lost here", "moved_back": "Moved back"}
TEAM_MEASURES = {
    "deals_won": "Won",
    "deals_lost": "Lost",
    "deals_created": "Created",
    "open_deals": "Open",
}

#: (id of the owner or team, measure) -> the number in the table.
Figure = Callable[[str, str], int | None]

_ROWS_OF_TABLE = "rows_of_table"


@dataclass(frozen=True)
class Cell:
    """A figure whose deals can be opened: what it is called, how it is asked for, and what it says."""

    what: str
    metric: str
    asked: Parameters
    figure: float | int | None
    is_amount: bool = False
    why: str = ""


def link() -> dict[str, str | None]:
    """The chosen figure, as the address carries it."""
    links.restore("stage", "", lambda text: text)
    links.restore("measure", "entered", links.one_of(list(FUNNEL_MEASURES)))
    links.restore("group", "", lambda text: text)
    stage = str(links.chosen("stage"))
    if not stage:
        return {}
    return {"stage": stage, "measure": str(links.chosen("measure")), "group": str(links.chosen("group"))}


def choose_clicked_stage(chart: str) -> None:
    """The reader clicked a bar of the funnel `chart`: the part that was touched opens."""
    points = st.session_state[chart]["selection"].get(charts.CLICKED_STAGE) or []
    if points:
        links.choose("measure", points[0].get("measure") or "entered")
        links.choose("group", "")
        links.choose("stage", points[0]["stage_id"])


def choose_clicked_cell(chart: str) -> None:
    """The reader clicked a cell of the comparison `chart`."""
    points = st.session_state[chart]["selection"].get(charts.CLICKED_CELL) or []
    if points:
        links.choose("measure", "entered")
        links.choose("group", points[0]["group_key"])
        links.choose("stage", points[0]["stage_id"])


def choose_selected_row(target: str, table: str) -> None:
    """The reader selected a row of `table`: its id becomes the value of the control `target`."""
    rows = st.session_state[table]["selection"]["rows"]
    ids = st.session_state.get(f"{table}_{_ROWS_OF_TABLE}", [])
    if rows and rows[0] < len(ids):
        links.choose(target, ids[rows[0]])


def selectable(table: str, ids: list[str], target: str) -> dict[str, Any]:
    """Arguments that let a click on a row of the table `table` choose the row's id."""
    st.session_state[f"{table}_{_ROWS_OF_TABLE}"] = ids
    return {
        "key": table,
        "on_select": lambda: choose_selected_row(target, table),
        "selection_mode": "single-row",
    }


def funnel_deals(
    who: SignIn,
    answer: FunnelAnswer,
    asked: Parameters,
    *,
    grouped: FunnelAnswer | None,
    version: str | None,
    currency: str,
) -> None:
    """The controls of a funnel's figure (of one group, if it is `grouped`), and its deals."""
    names = {"": "Choose a stage"} | {row.stage_id: answer.label(row.stage_id) for row in frames.shown(answer.rows)}
    if links.chosen("stage") not in names:
        links.choose("stage", "")
    st.header("Deals behind a figure", anchor=False)
    left, middle, right = st.columns([1, 1, 2])
    stage = left.selectbox("Stage", list(names), format_func=names.__getitem__, key="stage", persist_state="session")
    group = _group(middle, grouped)
    of = answer if grouped is None or not group else grouped
    row = next((row for row in of.rows if row.stage_id == stage and group in ("", row.group or frames.NO_GROUP)), None)
    measures = FUNNEL_MEASURES if row is None or row.kind is StageKind.OPEN else {"entered": "Entered"}
    measure = _measure(right, measures, "measure")
    if row is None:
        st.caption("Click a part of a bar, a cell or a line of the table, or choose a stage here, to open its deals.")
        return
    cell: dict[str, str] = {"stage_id": stage, "measure": measure}
    if grouped is not None and group:
        cell |= {"group": group, "group_by": str(grouped.parameters["group_by"])}
    whose = f"{frames.group_name(of, group)}, " if group else ""
    found = Cell(
        what=f"{whose}{names[stage]}, {measures[measure].lower()}",
        metric="funnel",
        asked={**asked, **cell},
        figure=_funnel_figure(row, measure),
        is_amount=answer.parameters.get("unit") == "amount",
        why=frames.reasons(row, of, most=20) if measure == "lost" else "",
    )
    show(who, found, closes="stage", version=version, currency=currency)


def _group(where: DeltaGenerator, grouped: FunnelAnswer | None) -> str:
    keys = sorted({row.group or frames.NO_GROUP for row in grouped.rows}) if grouped else []
    if links.chosen("group") not in keys:
        links.choose("group", "")
    if grouped is None:
        return ""
    names = frames.distinct({key: frames.group_name(grouped, key) for key in keys})
    chosen = where.selectbox(
        "Group",
        ["", *keys],
        format_func=lambda key: names[key] if key else "All",
        key="group",
        persist_state="session",
    )
    return chosen or ""


def team_deals(
    who: SignIn,
    names: Mapping[str, str],
    asked: Parameters,
    figure: Figure,
    *,
    version: str | None,
    currency: str,
) -> None:
    """The controls of an owner's or a team's figure, and its deals."""
    by_owner = asked.get("group_by") == "owner"
    links.restore("who", "", links.one_of(list(names)))
    if links.chosen("who") not in names:
        links.choose("who", "")
    st.header("Deals behind a figure", anchor=False)
    left, right = st.columns([1, 2])
    options = ["", *[key for key in names if key]]
    chosen = left.selectbox(
        "Owner" if by_owner else "Team",
        options,
        format_func=lambda key: names[key] if key else "Choose one",
        key="who",
        persist_state="session",
    )
    measure = _measure(right, TEAM_MEASURES, "team_measure")
    if not chosen:
        st.caption("Click a line of the table, or choose a name here, to open the deals.")
        return
    found = Cell(
        what=f"{names[chosen]}, {TEAM_MEASURES[measure].lower()}",
        metric="team_performance",
        asked={**asked, "measure": measure, "group": chosen},
        figure=figure(chosen, measure),
    )
    show(who, found, closes="who", version=version, currency=currency)


def show(who: SignIn, cell: Cell, *, closes: str, version: str | None, currency: str) -> None:
    """Open the dialog of a figure's deals; closing it empties the choice `closes`, and so the address."""

    @st.dialog(states.plain(cell.what), width="large", on_dismiss=lambda: links.choose(closes, ""))
    def dialog() -> None:
        with states.explained(), st.spinner("Opening the deals"):
            deals = client.deals_behind(who, cell.metric, cell.asked, version=version)
            _list(who, cell, deals, currency)

    dialog()


def _list(who: SignIn, cell: Cell, deals: DealsAnswer, currency: str) -> None:
    noun = "deal" if deals.total.count == 1 else "deals"
    amount = f" · {money.amount(deals.total.amount_minor, currency)}" if deals.total.amount_minor is not None else ""
    equals = (deals.total.amount_minor if cell.is_amount else deals.total.count) == cell.figure
    mark = ":material/check: equals the figure" if equals else ":material/sync: the figure has just moved on"
    st.markdown(f"**{states.plain(cell.what)}: {deals.total.count:,} {noun}{amount}** :gray[{mark}]")
    if cell.why:
        st.text(f"Why: {cell.why}")
    if not deals.items:
        states.nothing_here("No deals", "This figure is zero: there is nothing behind it.")
        return
    table = frames.deals_table(deals.items, lambda key: deals.labels.get(str(key), money.NOTHING) if key else "None")
    tables.show(tables.deals(table, currency), column_config=tables.DEAL_COLUMNS, alt=f"Deals: {cell.what}")
    if deals.next_cursor is not None:
        st.caption(f"{len(deals.items):,} of {deals.total.count:,} shown; the file has all.")
    st.download_button(
        "Download CSV",
        lambda: client.download(who, cell.metric, cell.asked),
        file_name=f"{cell.metric}-deals.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _measure(where: DeltaGenerator, measures: Mapping[str, str], key: str) -> str:
    links.restore(key, next(iter(measures)), links.one_of(list(measures)))
    if links.chosen(key) not in measures:
        links.choose(key, next(iter(measures)))
    chosen = where.segmented_control(
        "Figure",
        list(measures),
        format_func=measures.__getitem__,
        key=key,
        required=True,
        persist_state="session",
    )
    return chosen or next(iter(measures))


def _funnel_figure(row: FunnelRow, measure: str) -> int:
    return {"entered": row.entered, "still_here": row.still_here, "lost": row.lost, "moved_back": row.moved_back}[
        measure
    ]
