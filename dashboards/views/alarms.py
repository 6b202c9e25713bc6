"""Alarms: the figures that one keeps an eye on, what they came to, and at which threshold one is told."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import streamlit as st

from contracts.calls import watches as calls
from contracts.calls.schemas import Period, WatchCreate, WatchRead
from dashboards import client, money, states, tables
from dashboards.answers import Me, Organization
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Alarms", icon="notifications_active", group="Today", position=2)


class _Figure(NamedTuple):
    metric: str
    measure: str
    is_money: bool = False


_FIGURES = {
    "Won amount": _Figure("bookings", "won_amount_minor", is_money=True),
    "Deals won": _Figure("bookings", "deals_won"),
    "Deals created": _Figure("deals_created", "deals_created"),
    "Forecast": _Figure("forecast", "forecast_minor", is_money=True),
    "Attainment of the goal": _Figure("attainment", "attainment"),
    "Win rate": _Figure("win_rate", "win_rate"),
}
_PERIODS: dict[Period, str] = {
    "this_quarter": "this quarter",
    "this_month": "this month",
    "this_week": "this week",
    "this_year": "this fiscal year",
    "last_30_days": "the last 30 days",
}
_DIRECTIONS: dict[Literal["above", "below"], str] = {"above": "reaches", "below": "falls to"}
_DIGESTS: dict[Literal["daily", "weekly"] | None, str] = {
    None: "no mail",
    "daily": "a mail each morning",
    "weekly": "a mail on Mondays",
}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Alarms", anchor=False)
    with states.explained():
        watches = {one["id"]: one for one in client.ask_all(who, partial(calls.list_watches, limit=100))}
        if watches:
            tables.show([_row(one, me.organization) for one in watches.values()], alt="Figures that you watch")
            st.caption("Counted over the records that you see, and recorded whenever new figures are published.")
            _stop(who, watches)
        else:
            states.nothing_here(
                "You watch no figure yet", "Choose one below: a goal, or a limit at which you are told."
            )
    with states.explained():
        _watch(who, me.organization)


def written(watch: WatchRead, value: float | None) -> str:
    """A value of a watched figure."""
    if value is None:
        return money.NOTHING
    if watch["measure"].endswith("_minor"):
        return money.amount(round(value), watch["currency"] or "EUR")
    if watch["measure"].endswith(("rate", "attainment")):
        return money.share(value)
    return f"{value:,.1f}".removesuffix(".0")


def _row(watch: WatchRead, organization: Organization) -> dict[str, Any]:
    told = datetime.fromisoformat(watch["recorded_at"]) if watch["recorded_at"] else None
    limit: WatchRead = {**watch, "currency": watch["currency"] or organization.currency}
    return {
        "Figure": watch["name"],
        "Now": written(watch, watch["value"]),
        "Of": _PERIODS.get(watch["period"], "") if watch["period"] else "",
        "Tells when it": f"{_DIRECTIONS[watch['direction']]} {written(limit, watch['threshold'])}"
        if watch["direction"]
        else "",
        "State": watch["problem"] or ("Alarm" if watch["is_raised"] else "Calm"),
        "Changed": money.moment(told, organization.zone),
    }


def _stop(who: SignIn, watches: Mapping[str, WatchRead]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Figure", list(watches), format_func=lambda one: watches[one]["name"])
        if st.button("Stop watching", icon=":material/notifications_off:"):
            client.ask(who, calls.delete_watch(chosen, version=watches[chosen]["version"]))
            st.rerun()


def _watch(who: SignIn, organization: Organization) -> None:
    st.header("Watch a figure", anchor=False)
    with st.form("watch"):
        label = st.selectbox("What", list(_FIGURES))
        period = st.selectbox("Of", list(_PERIODS), format_func=_PERIODS.__getitem__)
        direction = st.radio("Tell when it", list(_DIRECTIONS), format_func=_DIRECTIONS.__getitem__, horizontal=True)
        threshold = st.text_input(
            "This", help=f"An amount in {organization.currency}, a number, or percent. Empty: only record it."
        )
        digest = st.selectbox("Its value in", list(_DIGESTS), format_func=_DIGESTS.__getitem__)
        is_sent = st.form_submit_button("Watch", type="primary", icon=":material/notifications_active:")
    if not is_sent:
        return
    figure = _FIGURES[label]
    try:
        limit = _limit(threshold, figure, organization.currency)
    except ValueError as error:
        st.error(str(error))
        return
    body: WatchCreate = {
        "name": f"{label}, {_PERIODS[period]}",
        "metric": figure.metric,
        "measure": figure.measure,
        "period": period,
        "direction": direction if limit is not None else None,
        "threshold": limit,
        "digest": digest,
    }
    try:
        client.ask(who, calls.create_watch(body))
    except (client.RefusedError, client.ConflictError) as error:
        st.error(states.plain("; ".join(error.fields.values()) or error.message))
        return
    st.rerun()


def _limit(text: str, figure: _Figure, currency: str) -> float | None:
    if figure.is_money:
        return money.read(text, currency)
    number = text.strip().removesuffix("%").strip()
    if not number:
        return None
    try:
        value = float(number)
    except ValueError:
        raise ValueError("Write a number such as 12, or 62 %.") from None
    return value / 100 if figure.measure.endswith(("rate", "attainment")) else value
