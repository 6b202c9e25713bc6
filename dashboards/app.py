"""The script that Streamlit runs for every page: which pages there are, and who may open them."""

from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboards import client, links, session, sidebar, states
from dashboards.answers import Me
from dashboards.pages import find_views, remember
from dashboards.session import SignIn
from dashboards.views import mailed_link, sign_in

#: The theme has no setting for the margins beside the content, and tables need the room.
#: Captions are too faint for many; what is drawn twice (`states.at_widths`) is seen once, by the width of the screen.
#: On phones two figures, or two choices, stand beside each other.
#: Streamlit writes white on the primary colour. The dark theme needs that bright, for texts: what stands on it is dark.
_WIDER = """<style>
[data-testid=stMainBlockContainer] {padding-left: 2.5rem; padding-right: 2.5rem}
[data-testid=stCaptionContainer] {color: inherit; opacity: .8}
[data-testid^=stBaseButton-primary]:enabled, [data-testid^=stBaseLinkButton-primary],
[data-testid=stMultiSelect] [data-tag], [data-testid^=stNumberInputStep]:is(:hover, :focus):enabled {
  color: light-dark(#ffffff, #10171e) !important
}
[class*=st-key-narrow_] {display: none}
@media (max-width: 640px) {
  [data-testid=stMainBlockContainer] {padding-left: 1rem; padding-right: 1rem}
  [data-testid=stColumn]:has([data-testid=stMetric]), .st-key-scope_bar [data-testid=stColumn] {
    min-width: calc(50% - .5rem); flex: 1 1 calc(50% - .5rem)
  }
  [class*=st-key-narrow_] {display: flex}
  [class*=st-key-wide_] {display: none}
}
</style>"""


def page_of(render: Callable[[SignIn, Me], None], who: SignIn | None, me: Me | None) -> Callable[[], None]:
    """What an address shows: signed out, the sign-in; and nothing more where an error is shown already."""

    def page() -> None:
        if who is None:
            sign_in.render()
        elif me is not None:
            render(who, me)

    return page


def _title(title: str) -> None:
    st.set_page_config(page_title=title, page_icon=sidebar.ICON, layout="wide")


def main() -> None:
    """Find out who looks, and open the page in the address. The address stays as it is through a sign-in."""
    _title("Sluice")
    st.html(_WIDER)
    links.keep()
    if mailed_link.is_asked():
        mailed_link.render()
        return
    who = session.current()
    me: Me | None = None
    if who is not None:
        with states.explained():
            me = client.me(who)
    pages: dict[str, list[StreamlitPage]] = {}
    for view in find_views():
        # whoever is signed out may still have any address: the sign-in stands there
        if me is None or view.page.is_for(me.role):
            page = st.Page(
                page_of(view.render, who, me),
                title=view.page.title,
                icon=f":material/{view.page.icon}:",
                url_path=view.path,
                default=not pages,
            )
            pages.setdefault(view.page.group, []).append(page)
    remember({page.url_path: page for group in pages.values() for page in group})
    opened = st.navigation(pages, position="sidebar" if me else "hidden", expanded=True)
    _title(f"{'Sign in' if who is None else opened.title} · Sluice")
    if who is not None and me is not None:
        sidebar.render(who, me)
    opened.run()


main()
