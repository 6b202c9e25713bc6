"""Parts of the page Plan and seats: plans side by side, use against them and its cost, tax ids, figures over time."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import streamlit as st

from contracts.calls import billing as calls
from contracts.calls.schemas import PlanRead
from dashboards import client, money, states, tables
from dashboards.answers import Organization
from dashboards.session import SignIn

LIMITS = {
    "seats": "People",
    "bd_accounts": "Connected accounts",
    "ai_drafts": "AI drafts this month",
    "storage_mb": "Files, MB",
}
_TAX_IDS = {
    "eu_vat": "VAT number (EU)",
    "gb_vat": "VAT number (UK)",
    "ch_vat": "VAT number (Switzerland)",
    "no_vat": "VAT number (Norway)",
    "us_ein": "EIN (USA)",
    "ca_bn": "Business number (Canada)",
    "au_abn": "ABN (Australia)",
    "in_gst": "GST number (India)",
    "br_cnpj": "CNPJ (Brazil)",
    "jp_trn": "Registration number (Japan)",
}
_CHECKS = {"pending": "being checked", "verified": "checked", "unverified": "not found by the tax office"}


def show_use(billing: dict[str, Any]) -> None:
    """What is used of each limit, and what goes beyond the plan."""
    limits, used = billing["limits"], billing["used"]
    beyond = {one["limit"]: one for one in billing["beyond"]}
    for column, (name, title) in zip(st.columns(len(LIMITS)), LIMITS.items(), strict=True):
        if limits is None or name not in limits:
            column.metric(title, money.count(used[name]))
            continue
        included = beyond[name]["included"] if name in beyond else limits[name]
        column.metric(title, f"{money.count(used[name])} of {money.count(included)}")
        column.progress(min(used[name] / included, 1.0) if included else 1.0)
        if used[name] >= limits[name]:
            column.caption("No more are allowed on this plan.")
        elif limits[name] > included:
            column.caption(f"What goes beyond is paid for, up to {money.count(limits[name])}.")
    if beyond:
        _show_beyond(list(beyond.values()))


def _show_beyond(beyond: list[dict[str, Any]]) -> None:
    st.header("Beyond the plan this month")
    rows = [
        {
            "What": one["title"],
            "Counted": money.count(one["quantity"]),
            "Each": money.amount(one["unit_minor"], "USD", decimals=True),
            "Costs": money.amount(one["cost_minor"], "USD", decimals=True),
        }
        for one in beyond
    ]
    tables.show(rows)
    total = money.amount(sum(one["cost_minor"] for one in beyond), "USD", decimals=True)
    st.caption(
        f"{total} in all, charged with the invoice of the month in which it is counted. Drafts are counted when an hour"
        " is over, accounts once a day; months and days are UTC's."
    )


def show_plans(sign_in: SignIn) -> None:
    """What each plan has, and what it costs."""
    rows = [
        {
            "Plan": plan["title"],
            "A seat": _price(plan["seat_minor"], "month"),
            "Paid yearly": _price(plan["seat_minor"], "year"),
            "People": "as many as seats" if plan["seat_minor"] else money.count(plan["limits"]["seats"]),
            "Accounts": _allowed(plan, "bd_accounts", "a day"),
            "AI drafts a month": _allowed(plan, "ai_drafts", "each"),
            "Files, MB": money.count(plan["limits"]["storage_mb"]),
        }
        for plan in client.ask(sign_in, calls.list_plans())["items"]
    ]
    tables.show(rows)


def _price(prices: dict[str, int], interval: str) -> str:
    return f"{money.amount(prices[interval], 'USD')} a {interval}" if interval in prices else "nothing"


def _allowed(plan: PlanRead, limit: str, each: str) -> str:
    has = money.count(plan["limits"][limit])
    if limit not in plan["ceilings"]:
        return has
    price = money.amount(plan["unit_minor"][limit], "USD", decimals=True)
    return f"{has}; up to {money.count(plan['ceilings'][limit])} at {price} {each}"


def show_tax_ids(sign_in: SignIn) -> None:
    """The tax ids that invoices bear; they are kept at Stripe alone."""
    st.header("Tax ids")
    try:
        known = client.ask(sign_in, calls.list_tax_ids())["items"]
    except client.ApiError as error:  # the rest of the page does without Stripe
        states.refused(error)
        return
    for one in known:
        text, remove = st.columns([5, 1], vertical_alignment="center")
        check = f" ({_CHECKS[one['check']]})" if one["check"] in _CHECKS else ""
        text.text(f"{_TAX_IDS.get(one['kind'], one['kind'])}: {one['value']}{check}")
        if remove.button("Remove", key=f"remove_{one['id']}", help=f"Invoices bear {one['value']} no longer"):
            states.tried(partial(client.ask, sign_in, calls.delete_tax_id(one["id"])))
    if not known:
        st.text("Invoices bear none yet.")
    with st.form("tax_id", clear_on_submit=False):
        kind = st.selectbox("Kind", list(_TAX_IDS), format_func=_TAX_IDS.__getitem__)
        value = st.text_input("Number", max_chars=64)
        is_given = st.form_submit_button("Add tax id")
    if is_given and value.strip():
        added = calls.add_tax_id({"kind": kind, "value": value.strip()}, key=str(uuid4()))
        states.tried(partial(client.ask, sign_in, added))


def show_figures(sign_in: SignIn, organization: Organization) -> None:
    """What it comes to over time: the metrics of subscriptions and invoices."""
    today = datetime.now(organization.zone).date()
    since, until = today - timedelta(days=90), today + timedelta(days=1)
    period: dict[str, str | int | None] = {"from": since.isoformat(), "to": until.isoformat()}
    revenue = _first(sign_in, "recurring_revenue", {})
    seats = _first(sign_in, "seat_use", {})
    failed = _first(sign_in, "failed_payments", period)
    churn = _first(sign_in, "churn", period)
    st.header("Figures")
    shown = {
        "A month, for seats": money.short_amount(revenue.get("monthly_minor"), organization.currency),
        "Seats in use": money.NOTHING if seats.get("seat_use") is None else money.share(seats["seat_use"]),
        "Payments failed, 90 days": money.count(failed.get("invoices_failed", 0)),
        "Plans ended, 90 days": money.count(churn.get("cancelled", 0)),
    }
    for column, (title, figure) in zip(st.columns(4), shown.items(), strict=True):
        column.metric(title, figure)


def _first(sign_in: SignIn, metric: str, asked: dict[str, str | int | None]) -> dict[str, Any]:
    rows = client.figures(sign_in, metric, asked).rows
    return rows[0] if rows else {}
