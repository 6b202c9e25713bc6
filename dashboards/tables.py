"""How tables write their cells: the figures of `money.py`, while sorting goes by the values underneath."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from dashboards import money

_Data = pd.DataFrame | Styler | Sequence[Mapping[str, Any]]

Write = Callable[[Any], str]

_COUNT = "{:,.0f}"

FUNNEL_COLUMNS: dict[str, Any] = {
    "stage_id": None,
    "Stage": st.column_config.TextColumn(width=115),
    "Entered": st.column_config.Column(width=70),
    "Of cohort": st.column_config.Column(width=85, help="Share of all deals of the cohort."),
    "Of previous": st.column_config.Column(width=85, help="Share of the deals that entered the stage before."),
    "Median days": st.column_config.Column(width=92, help="Half of the deals stayed shorter in the stage."),
    "90 % within": st.column_config.Column(width=85, help="Nine of ten deals stayed at most so many days."),
    "Still here": st.column_config.Column(width=75, help="Open deals that are in the stage."),
    "Lost here": st.column_config.Column(width=75, help="Deals that were lost from this stage."),
    "Moved back": st.column_config.Column(width=90, help="Deals that went back from here to an earlier stage."),
    "Why lost": st.column_config.TextColumn(width=300, help="The most frequent reasons, of the deals lost here."),
}

DEAL_COLUMNS: dict[str, Any] = {
    "currency": None,
    "Deal": st.column_config.TextColumn(width="large"),
    "Created": st.column_config.DateColumn(format="D MMM YYYY"),
    "Closed": st.column_config.DateColumn(format="D MMM YYYY"),
    "Age": st.column_config.NumberColumn("Age (days)", format="%.0f", help="From creation to closing, or until now."),
    "Link": st.column_config.LinkColumn(display_text="Open"),
}


def show(data: _Data, **options: Any) -> None:  # noqa: ANN401 # those of `st.dataframe`
    """Show a table: without row numbers, and what is not there written as everywhere, in columns of numbers too."""
    st.dataframe(data, hide_index=True, placeholder=money.NOTHING, **options)  # noqa: TID251 # here alone


def funnel(frame: pd.DataFrame, unit: str, currency: str) -> Styler:
    """The funnel's table."""
    write: Write | str = _money(currency, frame["Entered"]) if unit == "amount" else _COUNT
    figures = ["Entered", "Still here", "Lost here", "Moved back"]
    formats: dict[Any, Write | str | None] = dict.fromkeys(figures, write)
    formats |= {
        "Of cohort": money.share,
        "Of previous": money.share,
        "Median days": "{:,.1f}",
        "90 % within": "{:,.1f}",
    }
    return frame.style.format(formats, na_rep=money.NOTHING)


def team_columns(noun: str) -> dict[str, Any]:
    """Columns of the team table; the first is headed `noun`."""
    return {
        "id": None,
        "Name": st.column_config.TextColumn(noun, width="medium"),
        "Win rate": st.column_config.Column(help="Won deals of those closed in the period."),
        "Created": st.column_config.Column(help="Deals created in the period."),
        "Median days to win": st.column_config.Column(help="From creation to winning, for deals won in the period."),
        "Open": st.column_config.Column(help="Deals open at the end."),
    }


def team(frame: pd.DataFrame, currency: str) -> Styler:
    """The team's table."""
    write = _money(currency, pd.concat([frame["Won amount"], frame["Open amount"]]))
    formats: dict[Any, Write | str | None] = {
        "Win rate": money.share,
        "Won amount": write,
        "Open amount": write,
        "Won": _COUNT,
        "Lost": _COUNT,
        "Created": _COUNT,
        "Open": _COUNT,
        "Median days to win": "{:,.0f}",
    }
    return frame.style.format(formats, na_rep=money.NOTHING)


def deals(frame: pd.DataFrame, currency: str) -> Styler:
    """The deals behind a figure; a deal in another currency keeps its own."""
    currencies = frame["currency"].fillna(currency)
    styler = frame.style
    for code in currencies.unique():
        styler = styler.format(
            _money(code, frame["Amount"][currencies == code]),
            subset=pd.IndexSlice[frame.index[currencies == code], ["Amount"]],
            na_rep=money.NOTHING,
        )
    return styler


def _money(currency: str, column: pd.Series) -> Write:
    """Writes a column's amounts alike: all with their decimals, or none if all are whole."""
    unit = 10 ** money.minor_digits(currency)
    is_whole = bool((column.dropna() % unit == 0).all())
    return lambda value: money.amount(int(value), currency, decimals=not is_whole)
