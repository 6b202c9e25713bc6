"""Exchange rates: what the organization's figures convert other currencies at, day by day."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboards import client, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Exchange rates", icon="currency_exchange", group="Admin", position=13, roles=frozenset({"owner", "admin"}))

_PATH = "/v1/exchange-rates"
_SHOWN = 30


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Exchange rates", anchor=False)
    st.caption(
        "Amounts in other currencies are converted at the rate of their own day; a rate counts until the next one, 35"
        " days at most. A rate that is changed or comes late restates the figures that it touches."
    )
    with states.explained():
        days = client.get_all(who, _PATH, most=_SHOWN)
        if days:
            tables.show(_table(days))
            st.caption(f"The newest {len(days)} days with rates. Units of each currency for one {days[0]['base']}.")
        else:
            states.nothing_here("No rates yet", "Take in the ECB's file, or set a day's rates below.")
        left, right = st.columns(2)
        with left:
            _import(who)
        with right:
            _set(who, days[0]["base"] if days else me.organization.currency, me.organization.zone)


def _table(days: list[dict[str, Any]]) -> pd.DataFrame:
    currencies = sorted({currency for day in days for currency in day["rates"]})
    return pd.DataFrame(
        [{"Day": day["day"], **{one: day["rates"].get(one, "–") for one in currencies}} for day in days]
    )


def _import(who: SignIn) -> None:
    with st.form("import rates", clear_on_submit=True):
        st.header("From the European Central Bank", anchor=False)
        file = st.file_uploader("eurofxref-hist.csv, or its zip archive", type=["csv", "zip"])
        is_sent = st.form_submit_button("Take in", icon=":material/upload:")
    if not is_sent or file is None:
        return
    try:
        found = client.upload(who, f"{_PATH}/import", [("file", (file.name, file.getvalue()))])
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    st.success(f"{found['changed']:,} of {found['days']:,} days have other rates than before.")


def _set(who: SignIn, base: str, zone: ZoneInfo) -> None:
    with st.form("set a rate", clear_on_submit=True):
        st.header("One rate", anchor=False)
        day = st.date_input("Day", value=datetime.now(zone).date())
        currency = st.text_input("Currency", placeholder="USD", max_chars=3)
        rate = st.text_input(f"Units for one {base}", placeholder="1.1346")
        is_sent = st.form_submit_button("Set", icon=":material/save:")
    if not is_sent:
        return
    body = {"base": base, "rates": {currency.strip().upper(): rate.strip().replace(",", ".")}}
    try:
        client.put(who, f"{_PATH}/{day.isoformat()}", body)
    except (client.RefusedError, client.ConflictError) as error:
        st.error(states.plain("; ".join(error.fields.values()) or error.message))
        return
    st.rerun()
