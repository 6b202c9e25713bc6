"""The plan: what is paid for, what that allows and what is used of it, invoices, and the ways to change it."""

from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Plan and seats", icon="credit_card", group="Admin", position=8, roles=frozenset({"owner", "admin"}))

_LIMITS = {
    "seats": "People",
    "bd_accounts": "Connected accounts",
    "ai_drafts": "AI drafts a month",
    "storage_mb": "Megabytes of files",
}
_STATUSES = {
    "trialing": "on trial",
    "active": "paid",
    "past_due": "payment is late",
    "unpaid": "not paid",
    "canceled": "ended",
    "incomplete": "waits for its first payment",
}
_SOLD = {"team": "Team", "business": "Business"}
_INTERVALS = {"month": "monthly", "year": "yearly"}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Plan and seats")
    with states.explained():
        billing = client.get(sign_in, "/v1/billing").body
        _show_use(billing)
        if not billing["is_on"]:
            st.info("Billing is off: nothing is sold here, and everything is allowed.", icon=":material/info:")
            return
        zone = ZoneInfo(me.organization.time_zone)
        subscription = billing["subscription"]
        if subscription is None or subscription["ended_at"] is not None:
            _offer(sign_in, billing)
        else:
            _show_subscription(subscription, billing, zone)
            _change(sign_in, subscription)
        _show_invoices(sign_in, zone)


def _show_use(billing: dict[str, Any]) -> None:
    limits, used = billing["limits"] or {}, billing["used"]
    for column, (name, title) in zip(st.columns(len(_LIMITS)), _LIMITS.items(), strict=True):
        allowed = money.count(limits[name]) if name in limits else "no limit"
        column.metric(title, f"{money.count(used[name])} of {allowed}")
        if name in limits:
            column.progress(min(used[name] / limits[name], 1.0) if limits[name] else 1.0)
            if used[name] >= limits[name]:
                column.caption("No more are allowed on this plan.")


def _show_subscription(subscription: dict[str, Any], billing: dict[str, Any], zone: ZoneInfo) -> None:
    status = _STATUSES.get(subscription["status"], subscription["status"])
    price = money.amount(subscription["monthly_minor"], subscription["currency"])
    st.header(f"{subscription['plan'].capitalize()}, {status}")
    lines = [f"{subscription['seats']} seats, {price} a month, paid {_INTERVALS[subscription['interval']]}."]
    if subscription["status"] == "trialing" and subscription["trial_ends_at"]:
        lines.append(f"The trial costs nothing until {_day(subscription['trial_ends_at'], zone)}.")
    if subscription["cancels_at"]:
        lines.append(f"It ends on {_day(subscription['cancels_at'], zone)}.")
    elif subscription["period_ends_at"]:
        lines.append(f"The next invoice comes on {_day(subscription['period_ends_at'], zone)}.")
    st.text(" ".join(lines))
    if billing["falls_back_at"]:
        st.warning(
            f"A payment failed. Unless it is made, only what the free plan has is allowed from"
            f" {_day(billing['falls_back_at'], zone)} on; nothing is deleted.",
            icon=":material/warning:",
        )


def _offer(sign_in: SignIn, billing: dict[str, Any]) -> None:
    with st.form("buy"):
        st.header("Choose a plan")
        plan = st.radio("Plan", list(_SOLD), format_func=_SOLD.__getitem__, horizontal=True)
        interval = st.radio("Paid", list(_INTERVALS), format_func=_INTERVALS.__getitem__, horizontal=True)
        used = billing["used"]["seats"]
        seats = st.number_input("Seats", min_value=used, value=max(used, 3), help=f"{used} people are active.")
        is_chosen = st.form_submit_button("Go to checkout", type="primary")
    if is_chosen:
        body = {"plan": plan, "interval": interval, "seats": int(seats)}
        page = client.post(sign_in, "/v1/billing/checkout", body, key=str(uuid4()))
        st.link_button("Pay at Stripe", page["url"], icon=":material/open_in_new:")


def _change(sign_in: SignIn, subscription: dict[str, Any]) -> None:
    with st.form("change"):
        st.header("Change it")
        plans = list(_SOLD)
        plan = st.radio(
            "Plan", plans, plans.index(subscription["plan"]), format_func=_SOLD.__getitem__, horizontal=True
        )
        intervals = list(_INTERVALS)
        interval = st.radio(
            "Paid",
            intervals,
            intervals.index(subscription["interval"]),
            format_func=_INTERVALS.__getitem__,
            horizontal=True,
        )
        seats = st.number_input("Seats", min_value=1, value=subscription["seats"])
        ends = st.checkbox("End it with the period", value=subscription["cancels_at"] is not None)
        look, do = st.columns(2)
        looked = look.form_submit_button("Show the next invoice")
        done = do.form_submit_button("Change", type="primary")
    wanted = {"plan": plan, "interval": interval, "seats": int(seats)}
    if looked:
        preview = client.post(sign_in, "/v1/billing/preview", wanted)
        total = money.amount(preview["total_minor"], preview["currency"], decimals=True)
        st.text(f"The next invoice would be {total}.")
        _show_lines(preview["lines"], preview["currency"])
    if done:
        client.patch(sign_in, "/v1/billing/subscription", {**wanted, "cancels_at_period_end": ends}, etag=None)
        st.rerun()


def _show_invoices(sign_in: SignIn, zone: ZoneInfo) -> None:
    st.header("Invoices")
    invoices = client.get_all(sign_in, "/v1/billing/invoices")
    if invoices:
        link = st.column_config.LinkColumn(display_text="open")
        rows = [_row(invoice, zone) for invoice in invoices]
        st.dataframe(rows, hide_index=True, column_config={"Page": link, "PDF": link})
    else:
        st.text("There are none yet.")
    if st.button("Cards, addresses and tax ids", icon=":material/open_in_new:"):
        st.link_button("Open at Stripe", client.post(sign_in, "/v1/billing/portal")["url"])


def _row(invoice: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    def amount(name: str) -> str:
        return money.amount(invoice[name], invoice["currency"], decimals=True) if invoice[name] else ""

    return {
        "Number": invoice["number"] or "draft",
        "Issued": _day(invoice["issued_at"], zone),
        "Seats": invoice["seats"],
        "Total": money.amount(invoice["total_minor"], invoice["currency"], decimals=True),
        "Tax": amount("tax_minor"),
        "Coupons": amount("discount_minor"),
        "Given back": amount("credited_minor"),
        "Status": invoice["status"],
        "Page": invoice["page_url"],
        "PDF": invoice["pdf_url"],
    }


def _show_lines(lines: list[dict[str, Any]], currency: str) -> None:
    rows = [
        {"What": line["description"], "Amount": money.amount(line["amount_minor"], currency, decimals=True)}
        for line in lines
    ]
    st.dataframe(rows, hide_index=True)


def _day(instant: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(zone):%-d %b %Y}"
