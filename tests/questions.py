"""A manager's ten questions, asked in Chromium from the first page: `python -m tests.questions [--url …] [--folder …]`.

Each is answered in at most two clicks. Prints the clicks that it took, and keeps a picture of each answer.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.screenshots import browser, settle, sign_in

MOST_CLICKS = 2
_PATIENCE = 60_000


@dataclass(frozen=True)
class Question:
    """What a manager asks, what is clicked on the way to the answer, and words that stand in it."""

    asked: str
    clicks: tuple[Callable[[Page], Locator], ...]
    answer: str


def _link(name: str) -> Callable[[Page], Locator]:
    return lambda page: page.get_by_test_id("stMain").get_by_role("link", name=name)


QUESTIONS = (
    Question("Why did conversion fall?", (_link("Why did conversion change?"),), "converts? differently|stayed at"),
    Question("Which rep?", (_link("Which rep?"),), r"did most: |per owner at the time"),
    Question("Which stage got slower?", (_link("Which stage got slower?"),), "Deals created in the period, against"),
    Question("Which deals are stuck?", (_link("Which deals are stuck?"),), "that are stuck longest"),
    Question("What changed since last week?", (), "against the seven days before"),
    Question("What will we close this quarter?", (), "Best case"),
    Question("Is it significant?", (_link("Is it significant?"),), "chance"),
    Question("Who needs help?", (), "Open longer than the stage's target"),
    Question("Where do lost deals go?", (_link("Where do lost deals go?"),), "Lost in the period, by reason"),
    Question("Which source brings money?", (_link("Which source brings money?"),), "Closed in the period, by source"),
)


def ask(page: Page, url: str, question: Question, picture: Path | None = None) -> list[str]:
    """Ask one question of whoever is signed in; returns what was clicked. Raises AssertionError where no answer is."""
    page.goto(url)
    expect(page.get_by_role("heading", name="Today", level=1)).to_be_visible(timeout=_PATIENCE)
    settle(page)
    clicked: list[str] = []
    for find in question.clicks:
        found = find(page)
        clicked.append(found.inner_text(timeout=_PATIENCE).splitlines()[-1])
        found.click()
        expect(page.get_by_role("heading", level=1)).not_to_have_text("Today", timeout=_PATIENCE)
        settle(page)
    expect(page.get_by_text(re.compile(question.answer)).first).to_be_visible(timeout=_PATIENCE)
    if picture is not None:
        page.screenshot(path=picture, full_page=True)
    return clicked


def main() -> None:
    """Ask all questions of a running stack."""
    parser = argparse.ArgumentParser(description="Ask a manager's ten questions of a running `sluice up --demo`.")
    parser.add_argument("--url", default="http://127.0.0.1:8501", help="the dashboards' address")
    parser.add_argument("--folder", type=Path, default=Path("build/questions"))
    parser.add_argument("--email", default="manager@example.com")
    parser.add_argument("--password", default="sluice-demo")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with browser() as chrome:
        page = chrome.new_page(viewport={"width": 1440, "height": 1000}, locale="en-GB")
        sign_in(page, given.url, email=given.email, password=given.password)
        for number, question in enumerate(QUESTIONS, 1):
            clicked = ask(page, given.url, question, given.folder / f"{number:02}.png")
            print(f"{question.asked} {' > '.join(clicked) or 'it stands there'}")


if __name__ == "__main__":
    main()
