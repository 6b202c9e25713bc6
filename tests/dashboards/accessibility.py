"""What keeps somebody from using a page: findings of axe-core, and what does not fit on the screen."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

#: Rules that axe calls moderate and that are asked for all the same.
_ALSO = frozenset({"heading-order", "page-has-heading-one", "document-title", "empty-heading"})
_LONGEST, _LOOKS = 160, 20

#: What of a page may be scrolled through sideways by itself, as tables are; the page itself may not.
_SIDEWAYS = """() => {
  const main = document.querySelector("[data-testid=stMain]");
  const wide = [document.documentElement, main].filter(one => one.scrollWidth > one.clientWidth + 1);
  if (!wide.length) return [];
  const out = [...main.querySelectorAll("*")].filter(one => one.getBoundingClientRect().right > innerWidth + 1);
  const inner = out.filter(one => ![...one.children].some(child => out.includes(child)));
  return [`scrolls sideways, ${Math.max(...wide.map(one => one.scrollWidth))} of ${innerWidth} pixels`,
          ...inner.slice(0, 3).map(one => `sticks out: ${one.outerHTML.slice(0, 160)}`)];
}"""


def problems(page: Page) -> list[str]:
    """Serious and critical findings, and headings out of order: the rule, and the element's beginning."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:_LONGEST]}"
        for rule in found
        if rule["impact"] in ("serious", "critical") or rule["id"] in _ALSO
        for node in rule["nodes"]
    ]


def sideways(page: Page) -> list[str]:
    """Whether the page scrolls sideways at the width that it has now, and what sticks out."""
    found: list[str] = []
    for _ in range(_LOOKS):  # charts and tables are drawn anew by observers of their size, one after the other
        page.wait_for_timeout(150)
        found = page.evaluate(_SIDEWAYS)
        if not found:
            break
    return found
