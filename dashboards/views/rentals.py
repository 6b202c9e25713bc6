"""Accounts to buy or rent of whoever lets them here, and the ledger of those that one had."""

from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import rentals as calls
from contracts.calls import users
from contracts.calls.schemas import Offer, RentalOrder, RentalRead
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Accounts to rent", icon="storefront", group="Admin", position=6, roles=frozenset({"owner", "admin"}))

_STATES = {
    "ordered": "Ordered",
    "reserved": "Reserved, to be paid",
    "paid": "Paid, to be handed over",
    "active": "Yours",
    "returning": "Being handed back",
    "returned": "Handed back",
    "cancelling": "Being cancelled",
    "cancelled": "Cancelled",
}
_FAILURES = {
    "payment_declined": "the payment was declined",
    "price_changed": "its price has changed",
    "another_offer": "it is offered as something else",
    "plan_limit_reached": "the plan has no room for one more account",
    "address_taken": "there is an account of this address",
}


def render(sign_in: SignIn, me: Me) -> None:
    """Draw what there is, and the ledger."""
    st.title("Accounts to rent", anchor=False)
    with states.explained():
        listed = client.ask_all(sign_in, partial(users.list_users, limit=100))
        people = {one["id"]: one["name"] for one in listed}  # also those who left: the ledger names them
        try:
            offers = client.ask(sign_in, calls.list_rental_offers())["offers"]
        except client.ConflictError as off:
            states.nothing_here("Nobody lets accounts here", states.plain(off.message))
        else:
            _order(sign_in, offers, people)
        _ledger(sign_in, client.ask_all(sign_in, partial(calls.list_rentals, limit=100)), people, me.organization.zone)


def _order(sign_in: SignIn, offers: list[Offer], people: dict[str, str]) -> None:
    st.header("What there is", anchor=False)
    if not offers:
        states.nothing_here("Nothing is offered now", "Look again later.")
        return
    by_id = {offer["id"]: offer for offer in offers}
    offer = by_id[st.selectbox("Offer", [*by_id], format_func=lambda one: _title(by_id[one]))]
    months = None
    if offer["kind"] == "rent":
        months = int(st.number_input("Months, paid at once", min_value=1, max_value=36, value=1))
    user_id = st.selectbox(
        "For whom", [None, *people], format_func=lambda one: people[one] if one else "Nobody yet", key="rental-user"
    )
    total = money.amount(offer["price_minor"] * (months or 1), offer["currency"])
    order: RentalOrder = {
        "offer_id": offer["id"],
        "channel": offer["channel"],
        "title": offer["title"],
        "kind": offer["kind"],
        "price_minor": offer["price_minor"],
        "currency": offer["currency"],
        "months": months,
        "user_id": user_id,
    }
    if st.button("Order it", type="primary", help=f"{total} are charged to the card on file."):
        states.tried(lambda: client.ask(sign_in, calls.order_rental(order)))
    st.caption(states.plain(f"{total} in all. It is paid back if the account cannot be handed over."))


def _title(offer: Offer | RentalRead) -> str:
    each = " a month" if offer["kind"] == "rent" else " once"
    return f"{offer['title']} ({offer['channel']}), {money.amount(offer['price_minor'], offer['currency'])}{each}"


def _ledger(sign_in: SignIn, rentals: list[RentalRead], people: dict[str, str], zone: ZoneInfo) -> None:
    st.header("What you had", anchor=False)
    if not rentals:
        states.nothing_here("No order yet", "What is ordered stands here, with what it cost and for how long.")
        return
    rows = [
        {
            "Account": one["title"],
            "Price": _title(one).rpartition(", ")[2],
            "Months": one["months"],
            "For": people.get(one["user_id"] or "", money.NOTHING),
            "State": _state(one),
            "Handed over": _at(one["handed_over_at"], zone),
            "Ends": _at(one["ends_at"], zone),
            "Handed back": _at(one["handed_back_at"], zone),
        }
        for one in rentals
    ]
    tables.show(rows, alt="Orders of accounts")
    active = {one["id"]: one for one in rentals if one["state"] == "active"}
    if active:
        _act(sign_in, active, zone)


def _state(rental: RentalRead) -> str:
    state = _STATES[rental["state"]]
    if rental["renewing_months"]:
        return f"{state}, {rental['renewing_months']} more months are being paid"
    if not rental["failure"]:
        return state
    why = _FAILURES.get(rental["failure"], rental["failure"].replace("_", " "))
    return f"{state}, not renewed: {why}" if rental["state"] == "active" else f"{state}: {why}"


def _act(sign_in: SignIn, active: dict[str, RentalRead], zone: ZoneInfo) -> None:
    def label(one: str) -> str:
        return f"{active[one]['title']}, handed over {_at(active[one]['handed_over_at'], zone)}"

    chosen = active[st.selectbox("Account", [*active], format_func=label, key="rental")]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if chosen["kind"] == "rent":
            months = int(st.number_input("More months", min_value=1, max_value=36, value=1))
            cost = money.amount(chosen["price_minor"] * months, chosen["currency"])
            if st.button("Renew it", help=f"{cost} are charged to the card on file."):
                states.tried(lambda: client.ask(sign_in, calls.renew_rental(chosen["id"], {"months": months})))
        with st.popover("Hand it back"):
            st.text("Nobody can use it from then on, and nothing is paid back.")
            if st.button("Hand it back now", type="primary"):
                states.tried(lambda: client.ask(sign_in, calls.hand_back_rental(chosen["id"])))


def _at(instant: str | None, zone: ZoneInfo) -> str:
    return money.moment(datetime.fromisoformat(instant) if instant else None, zone)
