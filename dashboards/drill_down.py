"""The deals behind a figure: choose one by a click on a bar or a row, or by name; their total equals the figure."""

from collections.abc import Callable, Mapping
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


def link() -> dict[str, str | None]:
    """The chosen figure, as the address carries it."""
    links.restore("stage", "", lambda text: text)
    links.restore("measure", "entered", links.one_of(list(FUNNEL_MEASURES)))
    links.restore("group", "", lambda text: text)
    stage = str(st.session_state["stage"])
    if not stage:
        return {}
    return {"stage": stage, "measure": str(st.session_state["measure"]), "group": str(st.session_state["group"])}


def choose_clicked_stage() -> None:
    """The reader clicked a bar of the funnel."""
    points = st.session_state["funnel_chart"]["selection"].get(charts.CLICKED_STAGE) or []
    if points:
        st.session_state["stage"], st.session_state["group"] = points[0]["stage_id"], ""


def choose_clicked_cell() -> None:
    """The reader clicked a cell of the comparison."""
    points = st.session_state["cohorts"]["selection"].get(charts.CLICKED_CELL) or []
    if points:
        st.session_state["stage"], st.session_state["group"] = points[0]["stage_id"], points[0]["group_key"]


def choose_selected_row(target: str, table: str) -> None:
    """The reader selected a row of `table`: its id becomes the value of the control `target`."""
    rows = st.session_state[table]["selection"]["rows"]
    ids = st.session_state.get(f"{table}_{_ROWS_OF_TABLE}", [])
    if rows and rows[0] < len(ids):
        st.session_state[target] = ids[rows[0]]


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
    if st.session_state["stage"] not in names:
        st.session_state["stage"] = ""
    st.subheader("Deals behind a figure", anchor=False)
    left, middle, right = st.columns([1, 1, 2])
    stage = left.selectbox("Stage", list(names), format_func=names.__getitem__, key="stage", persist_state="session")
    group = _group(middle, grouped)
    of = answer if grouped is None or not group else grouped
    row = next((row for row in of.rows if row.stage_id == stage and group in ("", row.group or frames.NO_GROUP)), None)
    measures = FUNNEL_MEASURES if row is None or row.kind is StageKind.OPEN else {"entered": "Entered"}
    measure = _measure(right, measures, "measure")
    if row is None:
        st.caption("Click a bar, a cell or a line of the table, or choose a stage here, to open its deals.")
        return
    cell = {"stage_id": stage, "measure": measure}
    if grouped is not None and group:
        cell |= {"group": group, "group_by": str(grouped.parameters["group_by"])}
    with st.spinner("Opening the deals"):
        deals = client.deals_behind(who, "funnel", {**asked, **cell}, version=version)
    is_amount = answer.parameters.get("unit") == "amount"
    whose = f"{frames.group_name(of, group)}, " if group else ""
    if measure == "lost" and (why := frames.reasons(row, of, most=20)):
        st.markdown(f"Why: {why}")
    _show(
        deals,
        f"{whose}{names[stage]}, {measures[measure].lower()}",
        equals=(deals.total.amount_minor if is_amount else deals.total.count) == _funnel_figure(row, measure),
        currency=currency,
        file="funnel-deals.csv",
    )


def _group(where: DeltaGenerator, grouped: FunnelAnswer | None) -> str:
    keys = sorted({row.group or frames.NO_GROUP for row in grouped.rows}) if grouped else []
    if st.session_state["group"] not in keys:
        st.session_state["group"] = ""
    if grouped is None:
        return ""
    chosen = where.selectbox(
        "Group",
        ["", *keys],
        format_func=lambda key: frames.group_name(grouped, key) if key else "All",
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
    if st.session_state.get("who") not in names:
        st.session_state["who"] = ""
    st.subheader("Deals behind a figure", anchor=False)
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
    with st.spinner("Opening the deals"):
        parameters = {**asked, "measure": measure, "group": chosen}
        deals = client.deals_behind(who, "team_performance", parameters, version=version)
    _show(
        deals,
        f"{names[chosen]}, {TEAM_MEASURES[measure].lower()}",
        equals=deals.total.count == figure(chosen, measure),
        currency=currency,
        file="team-deals.csv",
    )


def _measure(where: DeltaGenerator, measures: Mapping[str, str], key: str) -> str:
    links.restore(key, next(iter(measures)), links.one_of(list(measures)))
    if st.session_state[key] not in measures:
        st.session_state[key] = next(iter(measures))
    chosen = where.segmented_control(
        "Figure",
        list(measures),
        format_func=measures.__getitem__,
        key=key,
        required=True,
        persist_state="session",
    )
    return chosen or next(iter(measures))


def _show(deals: DealsAnswer, what: str, *, equals: bool, currency: str, file: str) -> None:
    noun = "deal" if deals.total.count == 1 else "deals"
    amount = f" · {money.amount(deals.total.amount_minor, currency)}" if deals.total.amount_minor is not None else ""
    mark = ":material/check: equals the figure" if equals else ":material/sync: the figure has just moved on"
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.markdown(f"**{what}: {deals.total.count:,} {noun}{amount}** :gray[{mark}]")
    if not deals.items:
        states.nothing_here("No deals", "This figure is zero: there is nothing behind it.")
        return
    table = frames.deals_table(deals.items, lambda key: deals.labels.get(str(key), money.NOTHING) if key else "None")
    right.container(horizontal_alignment="right").download_button(
        "Download CSV",
        frames.as_csv(frames.deals_file(deals.items, deals.labels)),
        file_name=file,
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    st.dataframe(
        tables.deals(table, currency), hide_index=True, column_config=tables.DEAL_COLUMNS, alt=f"Deals: {what}"
    )
    if deals.next_cursor is not None:
        st.caption(f"Shows the first {len(deals.items):,}; the total counts all of them.")


def _funnel_figure(row: FunnelRow, measure: str) -> int:
    return {"entered": row.entered, "still_here": row.still_here, "lost": row.lost, "moved_back": row.moved_back}[
        measure
    ]
