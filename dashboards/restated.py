"""Whether a figure of a time that is over is still what it was a week ago, and which facts changed it."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, money
from dashboards.answers import Organization
from dashboards.client import Parameters
from dashboards.session import SignIn

_DAYS = 7
_MOST = 50


def note(who: SignIn, organization: Organization, metric: str, measure: str, asked: Parameters, what: str) -> None:
    """Say so under a chart. Of a period that was not over then, what is new is no restatement: nothing is said."""
    today = datetime.now(UTC).astimezone(organization.zone).date()
    since = today - timedelta(days=_DAYS)
    if asked.get("as_of") or str(asked.get("to") or "9999") > since.isoformat():
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
        st.caption(f":material/history: {what} of this period: not restated since {since:%-d %b}.")
        return
    with st.expander(
        f"{what} of this period: restated since {since:%-d %b}, from {money.count(found['before'])} to "
        f"{money.count(found['after'])}",
        icon=":material/history:",
    ):
        columns = {"Fact": st.column_config.LinkColumn(display_text="Open")}
        table = _table(found["items"][:_MOST])
        st.dataframe(table, hide_index=True, column_config=columns, alt="What changed the figure")
        if len(found["items"]) + found["others"] > _MOST:
            st.caption(f"{_MOST} of {money.count(len(found['items']) + found['others'])} shown, the largest.")


def _table(items: list[dict[str, Any]]) -> pd.DataFrame:
    """What each fact added then and adds now."""
    return pd.DataFrame(
        [
            {
                "Fact": f"deals?id={item['deal_id']}" if "deal_id" in item else "",
                "It": item["change"],
                "Then": item["before"],
                "Now": item["after"],
            }
            for item in items
        ]
    )
