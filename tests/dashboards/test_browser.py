"""The dashboards in a real browser: their own server process, the double behind them, headless Chromium before them."""

import io
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Request, expect

from dashboards.pages import find_views
from runtime.process import ManagedProcess, ProcessSpec, free_port
from tests import questions
from tests.dashboards import counting
from tests.dashboards.accessibility import problems, sideways
from tests.dashboards.counting import sample_deals
from tests.dashboards.double import ME, Double, healthy, serving
from tests.dashboards.double_hostile import HOSTILE
from tests.dashboards.test_analyse import GROUP, ROW, TOTAL
from tests.screenshots import browser, chromium, click_stage, settle, sign_in

PATIENCE = 30_000
WIDTHS = (390, 768, 1280)
EMAIL, PASSWORD = "manager@example.com", "sluice-demo"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Double, str]]:
    """A double, and the address of a dashboards process that asks it."""
    double = Double(deals=[], freshness={})
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/_stcore/health").is_success
        except httpx.TransportError:
            return False

    with serving(double) as api_url:
        spec = ProcessSpec(
            name="dashboards",
            argv=[sys.executable, "-m", "runtime.serve", "dashboards"],
            env={"SLUICE_API_URL": api_url, "SLUICE_DASHBOARDS_PORT": str(port)},
            ready=answers,
        )
        process = ManagedProcess(spec, log_path=tmp_path_factory.mktemp("dashboards") / "dashboards.log")
        process.start()
        try:
            process.wait_ready()
            yield double, url
            assert "Traceback" not in process.log_tail(1000)
        finally:
            process.stop()
        assert process.exit_code() == 0


@pytest.fixture
def double(standing: tuple[Double, str]) -> Iterator[Double]:
    """The double as new: all is well, nothing asked yet."""
    double, _ = standing
    double.deals = sample_deals(datetime.now(UTC).date())
    double.freshness = healthy()
    double.asked.clear()
    double.refused.clear()
    double.hostile, double.me, double.figures, double.totals = None, deepcopy(ME), [], []
    yield double
    assert double.refused == []


@pytest.fixture
def dashboards(standing: tuple[Double, str], double: Double) -> str:
    """The dashboards' address, with the double as new behind them."""
    assert double
    return standing[1]


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """One browser for all tests: it loads the pages' scripts once."""
    with browser() as chrome:
        yield chrome.new_context(viewport={"width": 1440, "height": 1900}, locale="en-GB")


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab of a browser that is signed in nowhere."""
    context.clear_cookies()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    for tab in context.pages:
        tab.close()


def address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).click()


class TestManager:
    def test_reads_the_funnel_and_opens_the_deals_behind_it(self, dashboards: str, page: Page, double: Double) -> None:
        outside: list[str] = []

        def note(request: Request) -> None:
            if not request.url.startswith((dashboards, "data:", "blob:")):
                outside.append(request.url)

        page.on("request", note)
        sign_in(page, f"{dashboards}/funnel", email=EMAIL, password=PASSWORD)
        expect(page.get_by_text("Northwind Traders")).to_be_visible()
        expect(page.get_by_text("definition funnel v1")).to_be_visible()

        page.get_by_role("button", name="How it is counted").click()
        choose(page, "A stage counts the deals that", "Went through every stage in order")
        expect(page.get_by_text("went through every stage in order", exact=False).last).to_be_visible()
        page.keyboard.press("Escape")
        settle(page)
        assert double.questions("/v1/metrics/funnel")[-1]["order"] == "strict"
        assert address(page)["order"] == ["strict"]

        click_stage(page, 1)
        expect(page.get_by_text("equals the figure")).to_be_visible(timeout=PATIENCE)
        asked = double.questions("/v1/metrics/funnel/rows")[-1]
        assert (asked["stage_id"], asked["measure"], asked["order"]) == ("new-1", "entered", "strict")
        assert outside == []

    def test_stays_signed_in_through_a_reload_and_in_a_new_tab(self, dashboards: str, page: Page) -> None:
        sign_in(page, f"{dashboards}/funnel?order=visited", email=EMAIL, password=PASSWORD)
        settle(page)
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
        kept = cookies["sluice_sign_in"]
        assert (kept["httpOnly"], kept["sameSite"]) == (True, "Strict")
        page.reload()
        expect(page.get_by_text("Deals behind a figure")).to_be_visible(timeout=PATIENCE)
        assert address(page)["order"] == ["visited"]

        tab = page.context.new_page()
        tab.goto(f"{dashboards}/team")
        expect(tab.get_by_text("definition team_performance v1")).to_be_visible(timeout=PATIENCE)
        tab.get_by_role("button", name="Sign out").click()
        expect(tab.get_by_label("E-mail address", exact=True)).to_be_visible(timeout=PATIENCE)
        # the first tab shows no old figures, and says why, before anybody touches it
        expect(page.get_by_text(re.compile("You are signed out|sign-in has ended"))).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_label("E-mail address", exact=True)).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("Deals behind a figure")).to_have_count(0)

    def test_sees_team_and_data_health(self, dashboards: str, page: Page, double: Double) -> None:
        sign_in(page, f"{dashboards}/team?level=team", email=EMAIL, password=PASSWORD)
        expect(page.get_by_text("per team at the time")).to_be_visible(timeout=PATIENCE)
        choose(page, "Team", "Enterprise")
        expect(page.get_by_text("Enterprise, won").first).to_be_visible(timeout=PATIENCE)
        page.keyboard.press("Escape")

        page.get_by_role("link", name="Data health").click()
        expect(page.get_by_text("All is well.")).to_be_visible(timeout=PATIENCE)
        failed = {"name": "deals_are_unique", "status": "failed", "message": "2 deals appear twice."}
        double.freshness |= {"checks": [failed]}
        expect(page.get_by_text("2 deals appear twice.").first).to_be_visible(timeout=PATIENCE)

    @pytest.mark.slow
    def test_asks_ten_questions_in_two_clicks_each(
        self, dashboards: str, page: Page, double: Double, tmp_path: Path
    ) -> None:
        double.figures, double.totals = [ROW], [TOTAL, GROUP]
        sign_in(page, dashboards, email=EMAIL, password=PASSWORD)
        clicked = [questions.ask(page, dashboards, one, tmp_path / "answer.png") for one in questions.QUESTIONS]
        assert len(clicked) == 10
        assert max(map(len, clicked)) <= questions.MOST_CLICKS

    def test_sees_new_figures_without_doing_anything(self, dashboards: str, page: Page, double: Double) -> None:
        sign_in(page, f"{dashboards}/funnel", email=EMAIL, password=PASSWORD)
        expect(page.get_by_text("3 events behind")).to_be_visible(timeout=PATIENCE)
        shown = page.get_by_test_id("stMetricValue").first.inner_text()  # before there are others to be fetched
        double.deals = double.deals[:450]
        double.freshness |= {"warehouse_version": "20261122T101700000000Z", "events_behind": 0}
        expect(page.get_by_text("up to date")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_test_id("stMetricValue").first).not_to_have_text(shown, timeout=PATIENCE)


class TestStranger:
    def test_cannot_sign_another_browser_in_from_another_site(self, dashboards: str) -> None:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}, {}):
            answer = httpx.post(f"{dashboards}/sign-in-cookie", content="ticket", headers=headers)
            assert answer.status_code == 403
        same = httpx.post(f"{dashboards}/sign-in-cookie", content="ticket", headers={"Sec-Fetch-Site": "same-origin"})
        assert same.status_code == 410
        assert "set-cookie" not in same.headers

    def test_finds_the_first_page_by_its_name_too(self, dashboards: str) -> None:
        answer = httpx.get(f"{dashboards}/today?period=last_month")
        assert (answer.status_code, answer.headers["location"]) == (307, "./?period=last_month")

    def test_gets_the_sign_in_at_every_address(self, dashboards: str, page: Page) -> None:
        page.goto(f"{dashboards}/team?pipeline=new")
        expect(page.get_by_label("E-mail address", exact=True)).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("Northwind")).to_have_count(0)


class TestEverybody:
    """What every page owes whoever cannot see it well, has no mouse, or looks at it on a phone."""

    def test_r33_the_sign_in_has_no_serious_finding_and_typing_begins_at_once(
        self, dashboards: str, page: Page
    ) -> None:
        page.goto(f"{dashboards}/funnel")
        expect(page.get_by_label("E-mail address", exact=True)).to_be_focused(timeout=PATIENCE)
        expect(page).to_have_title("Sign in · Sluice")
        assert problems(page) == []

    def test_r29_r33_the_first_pages_have_no_serious_finding_and_fit_on_every_screen(
        self, dashboards: str, page: Page
    ) -> None:
        sign_in(page, f"{dashboards}/funnel?by=team", email=EMAIL, password=PASSWORD)
        assert _findings(page, dashboards, ["funnel?by=team", "deals", ""]) == {}

    @pytest.mark.slow
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_r11_r29_r33_no_page_has_a_serious_finding_sticks_out_or_reads_free_text_as_markup(
        self, dashboards: str, page: Page, double: Double, scheme: str
    ) -> None:
        """All pages, with their details open, as the owner, in whose organization everybody is hostile."""
        requested: list[str] = []
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.on("request", lambda request: requested.append(request.url))
        double.me |= {"role": "owner"}
        double.hostile, double.figures, double.totals = HOSTILE, [ROW], [TOTAL, GROUP]
        sign_in(page, f"{dashboards}/funnel", email=EMAIL, password=PASSWORD)
        opened = ["deals?id=d1", "deals?new=1", "contacts?id=ct1", "companies?id=co1", "sources?velocity_row=o1|new-0"]
        paths = [*(view.path for view in find_views()), *opened, "funnel?by=owner&stage=new-1&measure=lost"]
        assert _findings(page, dashboards, paths) == {}
        assert [url for url in requested if "a.example" in url] == []

    def test_r29_a_phone_shows_every_bar_of_25_stages_and_counts_what_it_leaves_out_of_40_owners(
        self, dashboards: str, page: Page, double: Double, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stages = [f"Step {number:02}" for number in range(1, 26)]
        owners = {f"p{number:02}": f"Person {number:02}" for number in range(1, 41)}
        monkeypatch.setitem(counting.STAGES, "new", [*stages, "Won", "Lost"])
        for key, name in owners.items():
            monkeypatch.setitem(counting.OWNERS, key, (name, "t1"))
            monkeypatch.setitem(counting.LABELS, key, name)
        double.deals = sample_deals(datetime.now(UTC).date())
        page.set_viewport_size({"width": 390, "height": 844})
        sign_in(page, f"{dashboards}/funnel?by=owner&pipeline=new", email=EMAIL, password=PASSWORD)
        chart = page.locator(".st-key-narrow_funnel").get_by_test_id("stVegaLiteChart")
        expect(chart).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".st-key-wide_funnel")).to_be_hidden()
        expect(page.get_by_text("20 of 48 groups shown, the largest; all in the table.")).to_be_visible()
        settle(page)
        picture = Image.open(io.BytesIO(chart.screenshot())).convert("RGB")
        bars = sum(count for count, colour in picture.getcolors(1 << 24) or [] if colour == (20, 112, 124))
        assert bars > 3000  # of some of 25 stages, 26 pixels high each
        assert set(stages) <= set(chart.locator("svg text").all_text_contents())
        assert sideways(page) == []

        page.goto(f"{dashboards}/team")
        expect(page.get_by_text("15 of 48 shown; all in the table.")).to_be_visible(timeout=PATIENCE)
        settle(page)
        ranking = page.locator(".st-key-narrow_ranking svg text").all_text_contents()
        assert len(set(ranking) & set(counting.LABELS.values())) == 15
        assert sideways(page) == []


def _findings(page: Page, dashboards: str, paths: list[str]) -> dict[str, list[str]]:
    """What is wrong with each page that has anything wrong, at the widths of phones, tablets and desks."""
    found: dict[str, list[str]] = {}
    for path in paths:
        page.goto(f"{dashboards}/{path}")
        expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=PATIENCE)
        settle(page, painting=300)
        wrong = problems(page)
        if wrong:  # what is about to be replaced is faint for a moment
            settle(page)
            wrong = problems(page)
        markup = page.locator("[src*='a.example'], [href*='a.example'], strong:text-is('b'), .katex, [onerror]").count()
        wrong += [f"{markup} pieces of markup"] if markup else []
        wrong += ["no title of its own"] if page.title() == "Sluice" else []
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1900})
            wrong += [f"at {width}: {one}" for one in sideways(page)]
        if wrong:
            found[path or "today"] = wrong
    return found
