"""Goals on pages: what was won against them, and a form that sets one."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, figures, money, states, tables
from dashboards.answers import FiguresAnswer, Me, Organization
from dashboards.controls import Scope
from dashboards.session import SignIn

_SETTERS = frozenset({"owner", "admin", "manager"})
_MONTHS = {"Month": 1, "Quarter": 3}


def section(who: SignIn, me: Me, scope: Scope, level: str, *, version: str | None) -> None:
    """Who has won how much of their goal in the period, by owner or by team; whoever may sets goals below."""
    st.header("Goals", anchor=False)
    by = "owner" if level == "owner" else "team"
    asked = {name: value for name, value in scope.parameters().items() if name in {"from", "to", "as_of", "whose"}}
    answer = client.figures(who, "attainment", {**asked, "group_by": by}, version=version)
    rows = [row for row in answer.rows if row.get("goal_minor") or row.get("deals_goal")]
    if rows:
        tables.show(_table(answer, rows, me.organization), alt="Goals and actuals")
        st.caption(
            f"Goals whose month or quarter lies in {scope.period}. Pace: attainment against the part of it that is "
            f"over; 100 % is on course. {figures.known(scope, me.organization)}"
        )
    else:
        st.caption(f"No goals of {'people' if by == 'owner' else 'teams'} lie in {scope.period}.")
    if me.role in _SETTERS:
        with st.expander("Set a goal"):
            _set(who, me.organization, scope.period.start, by)


def _table(answer: FiguresAnswer, rows: Sequence[Mapping[str, Any]], organization: Organization) -> pd.DataFrame:
    columns = [
        figures.Column("won_amount_minor", "Won", "money"),
        figures.Column("goal_minor", "Goal", "money"),
        figures.Column("attainment", "Attainment", "share"),
        figures.Column("pace", "Pace", "share"),
        figures.Column("deals_won", "Deals won"),
        figures.Column("deals_goal", "Goal in deals"),
    ]
    return pd.DataFrame(
        [
            {"Name": answer.label(row["group"])}
            | {one.heading: figures.write(row.get(one.figure), one.kind, organization.currency) for one in columns}
            for row in rows
        ]
    )


def _set(who: SignIn, organization: Organization, first_day: date, by: str) -> None:
    path, key = ("/v1/users", "user_id") if by == "owner" else ("/v1/teams", "team_id")
    names = {"": "The organization"} | {one["id"]: one["name"] for one in client.get_all(who, path)}
    with st.form("set a goal", clear_on_submit=True):
        whose = st.selectbox("Of", list(names), format_func=lambda one: names[one])
        length = st.radio("For a", list(_MONTHS), index=1, horizontal=True)
        starts_on = st.date_input("From the first of", value=first_day.replace(day=1))
        amount = st.number_input(f"Amount in {organization.currency}", min_value=0, step=1_000)
        is_sent = st.form_submit_button("Set", icon=":material/flag:")
    if not is_sent:
        return
    body = {
        "measure": "won_amount",
        "starts_on": starts_on.replace(day=1).isoformat(),
        "months": _MONTHS[length],
        "target": int(amount) * 10 ** money.minor_digits(organization.currency),
        "currency": organization.currency,
    } | ({key: whose} if whose else {})
    try:
        client.post(who, "/v1/goals", body)
    except (client.RefusedError, client.ConflictError) as error:
        st.error(states.plain("; ".join(error.fields.values()) or error.message))
        return
    st.success("Set. The figures follow within minutes.")


def tile(
    who: SignIn, organization: Organization, asked: Mapping[str, str | int | None], *, version: str | None
) -> None:
    """The organization's own goal of a period, where it has one."""
    rows = client.figures(who, "attainment", dict(asked), version=version).rows
    goal = rows[0].get("goal_minor") if rows else None
    if not goal:
        return
    row = rows[0]
    written = figures.write(row.get("pace"), "share", organization.currency)
    st.text(
        f"Goal: {money.short_amount(goal, organization.currency)}, "
        f"{figures.write(row.get('attainment'), 'share', organization.currency)} of it won; pace {written}."
    )
