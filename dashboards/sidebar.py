"""The sidebar of every page: whose figures these are, who looks at them, and the way out."""

import streamlit as st

from dashboards import client, session
from dashboards.answers import Me
from dashboards.session import SignIn

#: A gate in a channel: three bars, each letting less through.
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32">
<rect width="32" height="32" rx="8" fill="#14707c"/>
<rect x="6" y="8" width="20" height="4" rx="2" fill="#fff"/>
<rect x="6" y="14" width="14" height="4" rx="2" fill="#fff" opacity=".8"/>
<rect x="6" y="20" width="8" height="4" rx="2" fill="#f0b27d"/></svg>"""

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 112 32" width="112" height="32">
<rect width="32" height="32" rx="8" fill="#14707c"/>
<rect x="6" y="8" width="20" height="4" rx="2" fill="#fff"/>
<rect x="6" y="14" width="14" height="4" rx="2" fill="#fff" opacity=".8"/>
<rect x="6" y="20" width="8" height="4" rx="2" fill="#f0b27d"/>
<text x="42" y="23" font-family="Inter, Helvetica, Arial, sans-serif" font-size="21" font-weight="650"
 letter-spacing="-.4" fill="#2c8f9b">Sluice</text></svg>"""

_SCOPES = {
    "own": "Sees own deals",
    "team": "Sees the team's deals",
    "subtree": "Sees the deals of all teams below",
    "all": "Sees all deals",
}

_KEEP = """<script>
fetch("sign-in-cookie", {method: "POST", body: "%s", credentials: "same-origin"});
</script>"""


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the sidebar; a click on sign-out ends the session."""
    st.logo(LOGO, size="large")
    with st.sidebar:
        st.markdown(f"**{me.organization.name}**")
        st.caption(
            f"{me.name}  \n{me.role.capitalize()} · {_SCOPES.get(me.record_scope, me.record_scope)}",
            help=f"Signed in as {me.email}",
        )
        if st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out"):
            client.log_out(sign_in)
            session.end()
            st.rerun()
    keep_in_browser()


def keep_in_browser() -> None:
    """After a sign-in, let the browser fetch the cookie that survives a reload."""
    ticket = session.take_ticket()
    if ticket is not None:
        st.html(_KEEP % ticket, unsafe_allow_javascript=True)
