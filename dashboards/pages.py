"""The pages of the navigation. A view that declares `PAGE` beside its `render` is one; nothing lists them by hand."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

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


def find_views() -> list[View]:
    """The views that are pages, in the navigation's order. A view's address is its module's name."""
    modules = [import_module(found.name) for found in pkgutil.iter_modules(views.__path__, f"{views.__name__}.")]
    found = [
        View(module.PAGE, module.__name__.rpartition(".")[2].replace("_", "-"), module.render)
        for module in modules
        if hasattr(module, "PAGE")
    ]
    return sorted(found, key=lambda view: (GROUPS.index(view.page.group), view.page.position))
