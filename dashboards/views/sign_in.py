"""The sign-in page: a person's own account, nothing else."""

import streamlit as st

from contracts.calls import sign_in as calls
from dashboards import client, session, sidebar, states

_NEEDS_CODE = "sign_in_needs_code"


def render() -> None:
    """Ask for e-mail address and password until they are right."""
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle:
        st.space("large")
        st.image(sidebar.LOGO, width=150, alt="Sluice")
        st.title("Sign in", anchor=False)
        if notice := st.session_state.get(session.NOTICE):
            st.info(notice, icon=":material/lock_clock:")
        with st.form("sign_in_form", border=True):
            email = st.text_input("E-mail address", autocomplete="username", key="email")
            password = st.text_input("Password", type="password", autocomplete="current-password", key="password")
            code = st.text_input("Code", key="code") if st.session_state.get(_NEEDS_CODE) else ""
            asked = st.form_submit_button("Sign in", type="primary", width="stretch")
        if asked:
            _try(email, password, code)
        _offer_providers()
        states.focus_first_field()
        with st.expander("Forgot your password?"):
            _ask_for_link()
        st.caption("Use the account you use in Sluice. Figures show the deals that you may see there.")


def _offer_providers() -> None:
    """Other ways in, where there are any."""
    try:
        found = client.sign_in_providers()
    except client.ApiError:  # the form says so when it is sent
        return
    for one in found:
        st.link_button(f"Continue with {states.plain(one['label'])}", f"/sso/begin/{one['key']}", width="stretch")


def _ask_for_link() -> None:
    email = st.text_input("Your e-mail address", autocomplete="email", key="forgotten")
    if st.button("Send me a link") and email.strip():
        try:
            client.ask_signed_out(calls.ask_for_password_link({"email": email.strip()}))
        except client.ApiError as error:
            states.refused(error)
        else:
            st.text("If this address is known, a link is on its way. Without mail, ask whoever runs Sluice.")


def _try(email: str, password: str, code: str) -> None:
    if not email.strip() or not password:
        st.error("Please fill in both fields.", icon=":material/edit:")
        return
    try:
        with st.spinner("Signing in"):
            sign_in = client.log_in(email, password, code.strip() or None)
    except client.UnreachableError as error:
        st.error(f"**{error.message}** Please try again in a moment.", icon=":material/cloud_off:")
    except client.ApiError as error:
        if error.code == "second_factor_needed" and not st.session_state.get(_NEEDS_CODE):
            st.session_state[_NEEDS_CODE] = True
            st.rerun()
        states.refused(error)
    else:
        st.session_state.pop(session.NOTICE, None)
        st.session_state.pop(_NEEDS_CODE, None)
        session.begin(sign_in)
        st.rerun()
