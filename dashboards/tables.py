"""How tables write their cells: the figures of `money.py`, while sorting goes by the values underneath."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from dashboards import money

Write = Callable[[Any], str]

_COUNT = "{:,.0f}"

FUNNEL_COLUMNS: dict[str, Any] = {
    "stage_id": None,
    "Stage": st.column_config.TextColumn(pinned=True),
    "Of cohort": st.column_config.ProgressColumn(
        min_value=0, max_value=1, format="percent", help="Share of all deals of the cohort."
    ),
    "Of step before": st.column_config.Column(help="Share of the deals that entered the stage before."),
    "Median days": st.column_config.Column(help="Half of the deals stayed shorter in the stage."),
    "90 % within days": st.column_config.Column(help="Nine of ten deals stayed at most so long."),
    "Still here": st.column_config.Column(help="Open deals that are in the stage."),
    "Lost here": st.column_config.Column(help="Deals that were lost from this stage."),
    "Why lost": st.column_config.TextColumn(width="medium"),
    "Moved back": st.column_config.Column(help="Deals that went back from here to an earlier stage."),
}

DEAL_COLUMNS: dict[str, Any] = {"currency": None, "Deal": st.column_config.TextColumn(width="large", pinned=True)}


def funnel(frame: pd.DataFrame, unit: str, currency: str) -> Styler:
    """The funnel's table."""
    write: Write | str = _money(currency) if unit == "amount" else _COUNT
    figures = ["Entered", "Still here", "Lost here", "Moved back"]
    formats: dict[Any, Write | str | None] = dict.fromkeys(figures, write)
    formats |= {"Of step before": money.share, "Median days": "{:,.1f}", "90 % within days": "{:,.1f}"}
    return frame.style.format(formats, na_rep=money.NOTHING)


def team_columns(noun: str) -> dict[str, Any]:
    """Columns of the team table; the first is headed `noun`."""
    return {
        "id": None,
        "Name": st.column_config.TextColumn(noun, pinned=True),
        "Win rate": st.column_config.ProgressColumn(
            min_value=0, max_value=1, format="percent", help="Won deals of those closed in the period."
        ),
        "Created": st.column_config.Column(help="Deals created in the period."),
        "Median days to win": st.column_config.Column(help="From creation to winning, for deals won in the period."),
        "Open": st.column_config.Column(help="Deals open at the end."),
    }


def team(frame: pd.DataFrame, currency: str) -> Styler:
    """The team's table."""
    write = _money(currency)
    return frame.style.format(
        {
            "Won amount": write,
            "Open amount": write,
            "Won": _COUNT,
            "Lost": _COUNT,
            "Created": _COUNT,
            "Open": _COUNT,
            "Median days to win": "{:,.0f}",
        },
        na_rep=money.NOTHING,
    )


def deals(frame: pd.DataFrame, currency: str) -> Styler:
    """The deals behind a figure; a deal in another currency keeps its own."""
    currencies = frame["currency"].fillna(currency)
    styler = frame.style
    for code in currencies.unique():
        styler = styler.format(
            _money(code), subset=pd.IndexSlice[frame.index[currencies == code], ["Amount"]], na_rep=money.NOTHING
        )
    return styler


def _money(currency: str) -> Write:
    return lambda value: money.amount(int(value), currency)
