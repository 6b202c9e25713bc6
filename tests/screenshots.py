"""Takes the README's screenshots from a running stack: `python -m tests.screenshots [--url …] [--folder …]`.

Drives an installed Chromium without a display. A tool for whoever changes the pages; no other part imports it.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE = 60_000
_WIDTH = 1440


def chromium() -> str | None:
    """Path of an installed Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium without a display, which talks to nobody but the pages."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        yield found
        found.close()


def sign_in(page: Page, url: str, *, email: str, password: str) -> None:
    """Open an address of the dashboards and sign in there."""
    page.goto(url)
    page.get_by_label("E-mail address", exact=True).fill(email, timeout=_PATIENCE)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=_PATIENCE)


def settle(page: Page, *, painting: int = 1500) -> None:
    """Wait until the page has drawn everything it was told to; its charts within so many milliseconds."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=_PATIENCE)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=_PATIENCE)
    page.evaluate("() => document.fonts.ready")
    # Charts and tables are canvases: nothing in the page says when they are painted.
    page.wait_for_timeout(painting)


def click_stage(page: Page, stage: int) -> None:
    """Click a bar of the funnel, counted from 0."""
    chart = page.get_by_test_id("stVegaLiteChart").first
    box = chart.bounding_box()
    if box is None:
        raise RuntimeError("The page shows no funnel.")
    chart.click(position={"x": 180, "y": 67 + 46 * stage})


def take(url: str, folder: Path, *, email: str, password: str) -> list[Path]:
    """Take all screenshots; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    shots: list[Path] = []

    def shoot(page: Page, name: str, height: int) -> None:
        page.set_viewport_size({"width": _WIDTH, "height": height})
        page.mouse.move(4, 4)
        settle(page)
        shots.append(folder / f"{name}.png")
        page.screenshot(path=shots[-1])

    with browser() as chrome:
        page = chrome.new_page(viewport={"width": _WIDTH, "height": 1000}, color_scheme="light", locale="en-GB")
        sign_in(page, f"{url}/funnel?by=team", email=email, password=password)
        expect(page.get_by_text("Deals behind a figure")).to_be_visible(timeout=_PATIENCE)
        shoot(page, "funnel", 1490)
        click_stage(page, 1)
        expect(page.get_by_text("equals the figure")).to_be_visible(timeout=_PATIENCE)
        shoot(page, "drill-down", 1900)
        page.keyboard.press("Escape")  # the deals stand in a dialog, behind which nothing can be clicked
        page.get_by_role("link", name="Team", exact=True).click()
        expect(page.get_by_text("Won amount", exact=True).first).to_be_visible(timeout=_PATIENCE)
        shoot(page, "team", 1250)
        page.get_by_role("link", name="Data health").click()
        expect(page.get_by_text(re.compile("complete through"))).to_be_visible(timeout=_PATIENCE)
        shoot(page, "data-health", 900)
    return shots


def main() -> None:
    """Read the arguments and take the screenshots."""
    parser = argparse.ArgumentParser(description="Take the README's screenshots from a running `sluice up --demo`.")
    parser.add_argument("--url", default="http://127.0.0.1:8501", help="the dashboards' address")
    parser.add_argument("--folder", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--email", default="manager@example.com")
    parser.add_argument("--password", default="sluice-demo")
    given = parser.parse_args()
    if chromium() is None:
        parser.exit(2, "No Chromium is installed: apt-get install chromium\n")
    for path in take(given.url.rstrip("/"), given.folder, email=given.email, password=given.password):
        print(path)


if __name__ == "__main__":
    main()
