"""The sidebar of every page: whose figures these are, who looks at them, and the way out."""

import streamlit as st

from dashboards import client, session, states
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

_LOOK_SECONDS = 3

#: Streamlit puts groups of pages into a list whose items stand one element deeper: whoever listens hears no list.
_LISTS = """<script>
if (!window.sluiceLists) {
  const mend = () => document.querySelectorAll("[data-testid=stSidebarNavItems] li").forEach(item => {
    const parent = item.parentElement;
    if (parent.tagName !== "UL" && parent.getAttribute("role") !== "list") {
      parent.setAttribute("role", "list");
      parent.closest("ul").setAttribute("role", "presentation");
    }
  });
  mend();
  window.sluiceLists = new MutationObserver(mend);
  window.sluiceLists.observe(document.body, {childList: true, subtree: true});
}
</script>"""

_KEEP = """<script>
fetch("sign-in-cookie", {method: "POST", body: "%s", credentials: "same-origin"});
</script>"""


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the sidebar; a click on sign-out ends the session."""
    st.logo(LOGO, size="large")
    with st.sidebar:
        st.markdown(f"**{states.plain(me.organization.name)}**")
        st.caption(
            f"{states.plain(me.name)}  \n{me.role.capitalize()} · {_SCOPES.get(me.record_scope, me.record_scope)}",
            help=f"Signed in as {states.plain(me.email)}",
        )
        if st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out"):
            client.log_out(sign_in)
            session.end()
            st.rerun()
    _notice_the_end(sign_in)
    st.html(_LISTS, unsafe_allow_javascript=True)
    keep_in_browser()


@st.fragment(run_every=_LOOK_SECONDS)
def _notice_the_end(sign_in: SignIn) -> None:
    """Whoever signs out in one tab is signed out in all of them, and sees it there without touching anything."""
    if sign_in.ended:
        st.rerun()


def keep_in_browser() -> None:
    """After a sign-in, let the browser fetch the cookie that survives a reload."""
    ticket = session.take_ticket()
    if ticket is not None:
        st.html(_KEEP % ticket, unsafe_allow_javascript=True)
