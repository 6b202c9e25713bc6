"""The plan: what is paid for, what that allows and what is used of it, invoices, and the ways to change it."""

from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import billing as parts
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Plan and seats", icon="credit_card", group="Admin", position=9, roles=frozenset({"owner", "admin"}))

_STATUSES = {
    "trialing": "on trial",
    "active": "paid",
    "past_due": "payment is late",
    "unpaid": "not paid",
    "canceled": "ended",
    "incomplete": "waits for its first payment",
}
_SOLD = {"team": "Team", "business": "Business"}
_PAYS_USAGE = "Pay for drafts and accounts beyond the plan"
_PAYS_USAGE_HELP = "Otherwise no more are allowed than the plan has. Each draft and each day of an account is charged."
_INTERVALS = {"month": "monthly", "year": "yearly"}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Plan and seats")
    with states.explained():
        billing = client.get(sign_in, "/v1/billing").body
        parts.show_use(billing)
        if not billing["is_on"]:
            _explain_off(sign_in)
            return
        zone = ZoneInfo(me.organization.time_zone)
        subscription = billing["subscription"]
        if subscription is None or subscription["ended_at"] is not None:
            _offer(sign_in, billing)
        else:
            _show_subscription(subscription, billing, zone)
            _change(sign_in, subscription)
        _show_invoices(sign_in, zone)
        parts.show_tax_ids(sign_in)
        parts.show_figures(sign_in, me.organization)


def _explain_off(sign_in: SignIn) -> None:
    """Where nothing is sold: why, what would be, and who could begin."""
    st.info(
        "Billing is off: nothing is sold here, and everything is allowed. There are no invoices, and figures of what is"
        " paid, as recurring revenue, churn, seat use and failed payments, have nothing to count.",
        icon=":material/info:",
    )
    st.header("What could be sold")
    st.text(
        "An operator who wants to sell seats sets SLUICE_STRIPE_SECRET_KEY and runs `./sluice billing setup`. From then"
        " on whoever has bought nothing is on the free plan, and this page sells the others:"
    )
    parts.show_plans(sign_in)


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
    st.header("Choose a plan")
    parts.show_plans(sign_in)
    with st.form("buy"):
        plan = st.radio("Plan", list(_SOLD), format_func=_SOLD.__getitem__, horizontal=True)
        interval = st.radio("Paid", list(_INTERVALS), format_func=_INTERVALS.__getitem__, horizontal=True)
        used = billing["used"]["seats"]
        seats = st.number_input("Seats", min_value=used, value=max(used, 3), help=f"{used} people are active.")
        pays_usage = st.checkbox(_PAYS_USAGE, value=True, help=_PAYS_USAGE_HELP)
        is_chosen = st.form_submit_button("Go to checkout", type="primary")
    if is_chosen:
        body = {"plan": plan, "interval": interval, "seats": int(seats), "pays_usage": pays_usage}
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
        pays_usage = st.checkbox(_PAYS_USAGE, value=subscription["pays_usage"], help=_PAYS_USAGE_HELP)
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
        body = {**wanted, "cancels_at_period_end": ends, "pays_usage": pays_usage}
        states.tried(lambda: client.patch(sign_in, "/v1/billing/subscription", body, etag=None))


def _show_invoices(sign_in: SignIn, zone: ZoneInfo) -> None:
    st.header("Invoices")
    invoices = client.get_all(sign_in, "/v1/billing/invoices")
    if invoices:
        link = st.column_config.LinkColumn(display_text="open")
        rows = [_row(invoice, zone) for invoice in invoices]
        tables.show(rows, column_config={"Page": link, "PDF": link})
    else:
        st.text("There are none yet.")
    if st.button("Cards and addresses", icon=":material/open_in_new:"):
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
    tables.show(rows)


def _day(instant: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(zone):%-d %b %Y}"
