"""Addresses that nothing is sent to: why, adding some, and letting one be tried again at which mail came back."""

from functools import partial

import streamlit as st

from contracts.calls import campaigns
from dashboards import client, states, tables
from dashboards.session import SignIn

_REASONS = {
    "unsubscribed": "They want nothing more",
    "bounced": "Mail to it came back",
    "by_hand": "Added here",
}
_MOST = 200


def show(who: SignIn) -> None:
    """Draw them, newest first."""
    with st.expander("Addresses that nothing is sent to"):
        found = client.ask_all(who, partial(campaigns.list_suppressions, limit=100), most=_MOST)
        if found:
            tables.show(
                [
                    {
                        "Address": one["address"],
                        "Channel": one["channel"],
                        "Why": _REASONS.get(one["reason"], one["reason"]),
                    }
                    for one in found
                ],
                alt="Addresses that nothing is sent to",
            )
        else:
            st.text("None yet. Whoever wants no more, or whose mailbox is gone, is added by itself.")
        _add(who)
        if back := {one["id"]: one["address"] for one in found if one["reason"] == "bounced"}:
            _lift(who, back)


def _add(who: SignIn) -> None:
    with st.form("suppressions_new", clear_on_submit=True):
        addresses = st.text_area("Add e-mail addresses, one a line").split()
        if not (st.form_submit_button("Send nothing to these") and addresses):
            return
    try:
        client.ask(who, campaigns.suppress_addresses({"channel": "email", "addresses": addresses}))
    except client.RefusedError as refused:
        states.refused(refused)
    else:
        st.rerun()


def _lift(who: SignIn, back: dict[str, str]) -> None:
    chosen = st.selectbox("Mail came back from", list(back), format_func=back.__getitem__, key="suppression_lifted")
    if st.button("Let it be tried again"):
        client.ask(who, campaigns.lift_suppression(chosen))
        st.rerun()
