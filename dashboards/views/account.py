"""One's own account: password, second factor, sign-ins, and the organizations that one is a member of."""

from functools import partial

import streamlit as st

from contracts.calls import sign_in as sessions
from contracts.calls import users
from contracts.calls.schemas import SessionRead
from dashboards import client, money, session, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("My account", icon="account_circle", group="Admin", position=12)

_SEED = "second_factor_seed"


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("My account", anchor=False)
    st.text(f"{me.name}, {me.email}")
    with states.explained():
        _organizations(sign_in)
    with states.explained():
        _password(sign_in)
    with states.explained():
        _second_factor(sign_in)
    with states.explained():
        _sign_ins(sign_in, me)


def _organizations(sign_in: SignIn) -> None:
    places = client.ask(sign_in, users.list_my_organizations())["items"]
    others = {place["id"]: place["name"] for place in places if not place["is_present"]}
    if not others:
        return
    st.header("Organizations", anchor=False)
    chosen = st.selectbox("Go on in", list(others), format_func=others.__getitem__)
    if st.button("Switch", type="primary"):
        tokens = client.ask(sign_in, sessions.switch_organization({"organization_id": chosen}))
        session.begin(client.signed_in(tokens))
        st.rerun()


def _password(sign_in: SignIn) -> None:
    st.header("Password", anchor=False)
    with st.form("password", clear_on_submit=True):
        current = st.text_input("Present password", type="password", autocomplete="current-password")
        new = st.text_input("New password", type="password", autocomplete="new-password")
        done = st.form_submit_button("Change it", help="Ends all sign-ins, also this one.")
    if done and current and new:
        client.ask(sign_in, users.change_password({"current_password": current, "new_password": new}))
        session.end("Your password was changed. Sign in with the new one.")
        st.rerun()


def _second_factor(sign_in: SignIn) -> None:
    st.header("Second factor", anchor=False)
    seed = st.session_state.get(_SEED)
    if seed is None:
        if st.button("Set up an authenticator"):
            st.session_state[_SEED] = client.ask(sign_in, users.begin_second_factor())["seed"]
            st.rerun()
        with st.expander("Do without it again"):
            code = st.text_input("One last code", key="last_code")
            if st.button("Remove it") and code:
                client.ask(sign_in, users.remove_second_factor({"code": code}))
                st.success("Your password alone signs you in again.")
        return
    st.text("Enter this key in your authenticator, then the code that it shows:")
    st.code(seed, language=None)
    code = st.text_input("Code", key="first_code")
    if st.button("Confirm", type="primary") and code:
        made = client.ask(sign_in, users.confirm_second_factor({"code": code}))
        del st.session_state[_SEED]
        st.success("From now on signing in asks for a code. Keep these recovery codes: each is good once.")
        st.code("\n".join(made["recovery_codes"]), language=None)


def _sign_ins(sign_in: SignIn, me: Me) -> None:
    st.header("Where you are signed in", anchor=False)
    going_on: list[SessionRead] = client.ask_all(sign_in, partial(sessions.list_sessions, limit=100))
    rows = [
        {
            "Since": money.instant(one["created_at"], me.organization.zone),
            "From": one["address"] or "–",
            "With": one["user_agent"] or "–",
            "This one": one["is_present"],
        }
        for one in going_on
    ]
    tables.show(rows)
    others = [one for one in going_on if not one["is_present"]]
    if others and st.button("End all others"):
        for one in others:
            client.ask(sign_in, sessions.revoke_session(one["id"]))
        st.rerun()
