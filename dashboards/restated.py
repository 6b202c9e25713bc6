"""Whether a figure of a time that is over is still what it was a week ago, and which facts changed it."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, money, tables
from dashboards.answers import Organization
from dashboards.client import Parameters
from dashboards.session import SignIn

_DAYS = 7
_MOST = 50


def note(who: SignIn, organization: Organization, metric: str, measure: str, asked: Parameters, what: str) -> None:
    """Say so under a chart. Of what was not over then, what is new is no restatement: nothing is said."""
    today = datetime.now(UTC).astimezone(organization.zone).date()
    since = today - timedelta(days=_DAYS)
    over = str(asked.get("to") or asked.get("at") or "9999")
    if asked.get("as_of") or over > since.isoformat():
        return
    then = datetime.combine(since, time(), tzinfo=organization.zone).astimezone(UTC)
    if organization.created_at is not None and then < organization.created_at:
        return
    given = {name: value for name, value in asked.items() if name not in ("as_of", "group_by", "names")}
    try:
        found = client.restatements(who, metric, {**given, "measure": measure, "from_as_of": then.isoformat()})
    except client.ApiError:
        return  # the figure itself says what is wrong
    if not found["items"]:
        st.caption(f":material/history: {what}: not restated since {since:%-d %b}.")
        return
    is_money = measure.endswith("_minor")

    def write(value: int | None) -> str:
        if value is None:
            return money.NOTHING
        return money.short_amount(value, organization.currency) if is_money else money.count(value)

    with st.expander(
        f"{what}: restated since {since:%-d %b}, from {write(found['before'])} to {write(found['after'])}",
        icon=":material/history:",
    ):
        columns = {"Fact": st.column_config.LinkColumn(display_text="Open")}
        table = _table(found["items"][:_MOST], write)
        tables.show(table, column_config=columns, alt="What changed the figure")
        if len(found["items"]) + found["others"] > _MOST:
            st.caption(f"{_MOST} of {money.count(len(found['items']) + found['others'])} shown, the largest.")


def _table(items: list[dict[str, Any]], write: Callable[[int | None], str]) -> pd.DataFrame:
    """What each fact added then and adds now."""
    return pd.DataFrame(
        [
            {
                "Fact": f"deals?id={item['deal_id']}" if "deal_id" in item else "",
                "It": item["change"],
                "Then": write(item["before"]),
                "Now": write(item["after"]),
            }
            for item in items
        ]
    )
