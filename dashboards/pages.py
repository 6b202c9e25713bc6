"""The pages of the navigation. A view that declares `PAGE` beside its `render` is one; nothing lists them by hand."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboards import views
from dashboards.answers import Me
from dashboards.session import SignIn

#: Groups of pages, in the order of the navigation.
GROUPS = ("Today", "Analyse", "Work", "Automate", "Admin")


@dataclass(frozen=True)
class Page:
    """How a page appears in the navigation: in its group by `position`, with a name of Material Symbols as its icon.

    `roles` see it; everybody where none is named.
    """

    title: str
    icon: str
    group: str
    position: int
    roles: frozenset[str] = frozenset()

    def is_for(self, role: str) -> bool:
        """Whether a person of this role has the page in the navigation."""
        return not self.roles or role in self.roles


@dataclass(frozen=True)
class View:
    """A page, its address and what draws it."""

    page: Page
    path: str
    render: Callable[[SignIn, Me], None]


_PAGES = "pages"


def remember(pages: Mapping[str, StreamlitPage]) -> None:
    """The pages of this run by address, for links between them."""
    st.session_state[_PAGES] = dict(pages)


def link(path: str, label: str, *, icon: str = "arrow_forward", **address: str) -> None:
    """A link to another page, with the scope that both share, and what its address is to say."""
    page = st.session_state.get(_PAGES, {}).get(path)
    if page is None:
        st.caption(label)
        return
    st.page_link(page, label=label, icon=f":material/{icon}:", query_params=address or None)


def find_views() -> list[View]:
    """The views that are pages, in the navigation's order. A view's address is its module's name."""
    modules = [import_module(found.name) for found in pkgutil.iter_modules(views.__path__, f"{views.__name__}.")]
    found = [
        View(module.PAGE, module.__name__.rpartition(".")[2].replace("_", "-"), module.render)
        for module in modules
        if hasattr(module, "PAGE")
    ]
    return sorted(found, key=lambda view: (GROUPS.index(view.page.group), view.page.position))
