"""Where links from mails lead (to set a password, to prove an address, to join an organization), and the way back from
a provider that one signs in by. Needs no sign-in."""

import streamlit as st

from contracts.calls import sign_in as calls
from contracts.calls import users
from dashboards import client, session, states

_KIND, _TOKEN = "link", "token"  # names of parameters


def is_asked() -> bool:
    """Whether the address is one of a mail's."""
    return st.query_params.get(_KIND) in _PAGES and _TOKEN in st.query_params


def render() -> None:
    """Do what the link is for."""
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        try:
            states.focus_first_field()
            _PAGES[st.query_params[_KIND]](st.query_params[_TOKEN])
        except client.ApiError as error:
            states.refused(error)


def _set_password(token: str) -> None:
    st.title("Set your password", anchor=False)
    with st.form("set_password"):
        password = st.text_input("New password", type="password", autocomplete="new-password")
        done = st.form_submit_button("Set it", type="primary", width="stretch")
    if done and password:
        client.ask_signed_out(calls.set_password_by_link({"token": token, "password": password}))
        _leave("Your password is set. Sign in with it.")


def _prove_address(token: str) -> None:
    st.title("Is this your address?", anchor=False)
    if st.button("Yes, it is mine", type="primary", width="stretch"):
        client.ask_signed_out(calls.prove_address({"token": token}))
        _leave("Thank you: your address is proven.")


def _join(token: str) -> None:
    st.title("Join your team in Sluice", anchor=False)
    with st.form("join"):
        name = st.text_input("Your name", autocomplete="name")
        password = st.text_input(
            "Password", type="password", help="If you use Sluice elsewhere with this address: the one you have."
        )
        done = st.form_submit_button("Join", type="primary", width="stretch")
    if done and password:
        call = calls.accept_invitation({"token": token, "password": password, "name": name.strip() or None})
        session.begin(client.signed_in(client.ask_signed_out(call)))
        _leave(None)


def _link_identity(token: str) -> None:
    st.header("Is this account yours?", anchor=False)
    st.text("There is an account with your address. Sign in to it once; from then on the provider is enough.")
    with st.form("link_identity"):
        email = st.text_input("E-mail address", autocomplete="username")
        password = st.text_input("Password", type="password", autocomplete="current-password")
        code = st.text_input("Code", help="Of your authenticator, if you use one.")
        done = st.form_submit_button("Sign in and link", type="primary", width="stretch")
    if done and email and password:
        sign_in = client.log_in(email, password, code.strip() or None)
        client.ask(sign_in, users.link_identity({"token": token}))
        session.begin(sign_in)
        _leave(None)


def _second_factor(token: str) -> None:
    st.header("Your code", anchor=False)
    with st.form("second_factor"):
        code = st.text_input("Code", help="Of your authenticator, or a recovery code.", autocomplete="one-time-code")
        done = st.form_submit_button("Sign in", type="primary", width="stretch")
    if done and code:
        call = calls.show_provider_second_factor({"token": token, "code": code.strip()})
        session.begin(client.signed_in(client.ask_signed_out(call)))
        _leave(None)


def _leave(notice: str | None) -> None:
    if notice:
        st.session_state[session.NOTICE] = notice
    st.query_params.clear()
    st.rerun()


_PAGES = {"set-password": _set_password, "prove-address": _prove_address, "join": _join} | {
    "link-identity": _link_identity,
    "second-factor": _second_factor,
}
