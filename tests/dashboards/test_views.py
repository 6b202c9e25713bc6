from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards import client, money, serve
from dashboards.session import SignIn
from tests.dashboards.double import Double, healthy

Open = Callable[..., AppTest]
FUNNEL = "/v1/metrics/funnel"
TEAM = "/v1/metrics/team_performance"


def words(page: AppTest) -> str:
    """Everything the page says, outside of tables and charts."""
    assert not page.exception
    kinds = (page.title, page.markdown, page.caption, page.error, page.info, page.success, page.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


class TestFunnel:
    def test_shows_the_answers_figures(self, open_page: Open, double: Double, sign_in: SignIn) -> None:
        page = open_page("funnel")
        asked = double.questions(FUNNEL)[0]
        rows = client.funnel(sign_in, asked).rows
        assert (asked["order"], asked["regress"], asked["cohort"]) == ("reached", "furthest", "created")
        shown = metrics(page)
        assert shown["Deals"] == str(rows[0].entered)
        assert shown["Won"] == str(rows[-1].entered)
        table = page.dataframe[0].value
        assert list(table["Entered"]) == [row.entered for row in rows]

    def test_prints_its_question_definition_and_freshness(self, open_page: Open) -> None:
        said = words(open_page("funnel"))
        assert "definition funnel v1, `3fa2b1c9`" in said
        assert "New business" in said
        assert "as known now (Europe/Berlin)" in said
        assert "3 events behind" in said

    def test_another_policy_asks_the_api_anew(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel")
        page.selectbox(key="order").select("strict").run()
        assert double.questions(FUNNEL)[-1]["order"] == "strict"
        page.selectbox(key="regress").select("current").run()
        assert double.questions(FUNNEL)[-1]["regress"] == "current"
        page.number_input(key="window").set_value(30).run()
        assert double.questions(FUNNEL)[-1]["window_days"] == "30"
        assert "as they stood after 30 days" in words(page)
        assert page.query_params["order"] == "strict"

    def test_a_link_brings_the_same_view_back(self, open_page: Open, double: Double) -> None:
        open_page("funnel", pipeline="renewal", period="custom", from_="2026-01-05", to="2026-10-12", order="visited",
                  unit="amount", window="90", as_of="2026-11-01T09:30")  # fmt: skip
        asked = double.questions(FUNNEL)[0]
        assert asked == {
            "pipeline_id": "renewal", "from": "2026-01-05", "to": "2026-10-12", "cohort": "created", "order": "visited",
            "regress": "furthest", "unit": "amount", "window_days": "90", "as_of": "2026-11-01T08:30:00+00:00",
            "names": "today",
        }  # fmt: skip

    def test_a_link_with_nonsense_shows_the_usual_view(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel", pipeline="gone", period="someday", order="sideways", window="-4", stage="none")
        assert not page.exception
        assert double.questions(FUNNEL)[0]["order"] == "reached"

    def test_opens_the_deals_behind_a_figure(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel", stage="new-1", measure="lost")
        asked = double.questions(f"{FUNNEL}/rows")[-1]
        assert (asked["stage_id"], asked["measure"]) == ("new-1", "lost")
        lost = int(page.dataframe[0].value["Lost here"].iloc[1])
        assert f"Demo, lost here: {lost} deals" in words(page)
        assert "equals the figure" in words(page)
        assert len(page.dataframe[-1].value) == lost

    def test_opens_the_deals_of_one_group(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel", by="team", stage="new-0", measure="entered", group="t2")
        asked = double.questions(f"{FUNNEL}/rows")[-1]
        assert (asked["group_by"], asked["group"]) == ("team", "t2")
        assert "Mid-market, Qualified, entered" in words(page)
        assert "equals the figure" in words(page)

    def test_amounts_are_written_in_the_organizations_currency(self, open_page: Open) -> None:
        page = open_page("funnel", unit="amount", stage="new-0", measure="entered")
        assert metrics(page)["Amount"].startswith("€")
        assert "equals the figure" in words(page)

    def test_an_empty_period_says_when_there_were_deals(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel", period="custom", from_="2019-01-01", to="2019-04-01")
        assert "No deals were created in this period" in words(page)
        page.button[0].click().run()
        latest = max(deal.created for deal in double.deals if deal.pipeline == "new")
        assert double.questions(FUNNEL)[-1]["from"][:7] == f"{latest:%Y-%m}"
        assert "Deals" in metrics(page)

    def test_no_deals_at_all_says_what_to_do(self, open_page: Open, double: Double) -> None:
        double.deals.clear()
        assert "New and imported deals appear here" in words(open_page("funnel"))

    def test_starts_with_this_quarter_where_the_last_one_is_empty(self, open_page: Open, double: Double) -> None:
        today = datetime.now(UTC).date()
        for deal in double.deals:
            deal.created = today
        assert open_page("funnel").selectbox(key="period").value == "this_quarter"

    def test_r17_deals_that_began_in_a_later_stage_are_shown_in_any_order(
        self, open_page: Open, double: Double
    ) -> None:
        began_later = [deal for deal in double.deals if deal.pipeline == "new"][:4]
        for deal in began_later:
            deal.path, deal.status = [1], "open"
            deal.created = datetime.now(UTC).date() - timedelta(days=3)
        double.deals = began_later
        page = open_page("funnel", order="strict", period="custom", from_="2020-01-01", to="2100-01-01")
        assert "No deals" not in words(page)
        assert (metrics(page)["Deals"], metrics(page)["Still open"]) == ("4", "4")

    def test_r16_r22_tiles_are_the_answers_sums_and_write_amounts_in_three_figures(
        self, open_page: Open, double: Double
    ) -> None:
        [won, *_] = [deal for deal in double.deals if deal.status == "won" and deal.pipeline == "new"]
        won.amount, won.created = 100_000_000, datetime.now(UTC).date() - timedelta(days=3)
        double.deals = [won]
        shown = metrics(open_page("funnel", period="custom", from_="2020-01-01", to="2100-01-01"))
        assert (shown["Won"], shown["Won so far, of all"], shown["Won amount"]) == ("1", "100 %", "€1.00M")

    def test_r28_an_earlier_time_begins_where_something_was_known(self, open_page: Open, double: Double) -> None:
        founded = datetime.now(UTC) - timedelta(minutes=90)
        double.me["organization"] = {**double.me["organization"], "created_at": founded.isoformat()}
        page = open_page("funnel")
        page.selectbox(key="as_of_mode").select("then").run()
        words(page)
        assert datetime.fromisoformat(double.questions(FUNNEL)[-1]["as_of"]) > founded

    def test_newer_figures_are_fetched(self, open_page: Open, double: Double) -> None:
        page = open_page("funnel")
        before = len(double.questions(FUNNEL))
        page.run()
        assert len(double.questions(FUNNEL)) == before
        double.freshness = healthy("20261122T101600000000Z")
        st.cache_data.clear()
        page.run()
        assert len(double.questions(FUNNEL)) > before


class TestTeam:
    def test_shows_owners_best_first(self, open_page: Open, double: Double) -> None:
        page = open_page("team")
        assert double.questions(TEAM)[0]["group_by"] == "owner"
        assert "cohort" not in double.questions(TEAM)[0]
        table = page.dataframe[0].value
        assert list(table["Won amount"]) == sorted(table["Won amount"], reverse=True)
        assert "definition team_performance v1" in words(page)

    def test_figures_per_top_team(self, open_page: Open, double: Double) -> None:
        page = open_page("team")
        page.selectbox(key="level").select("top_team").run()
        assert double.questions(TEAM)[-1]["group_by"] == "top_team"
        assert set(page.dataframe[0].value["Name"]) == {"Enterprise", "Mid-market", "Small business"}

    def test_opens_the_deals_of_an_owner(self, open_page: Open, double: Double) -> None:
        page = open_page("team")
        page.selectbox(key="who").select("o1").run()
        asked = double.questions(f"{TEAM}/rows")[-1]
        assert (asked["group"], asked["measure"]) == ("o1", "deals_won")
        assert "Ada Okafor, won" in words(page)
        assert "equals the figure" in words(page)

    def test_an_empty_period_is_explained(self, open_page: Open, double: Double) -> None:
        double.deals.clear()
        assert "Nothing happened in this period" in words(open_page("team"))


class TestDataHealth:
    def test_is_calm_when_all_is_well(self, open_page: Open) -> None:
        page = open_page("data_health")
        assert "All is well" in words(page)
        assert not page.error
        assert metrics(page)["Checks passed"] == "4 of 4"

    def test_lists_the_versions_that_can_be_asked_again(self, open_page: Open, double: Double) -> None:
        assert "None is kept yet" in words(open_page("data_health"))
        double.versions = [
            {"version": name, "published_at": f"2026-11-{day}T23:59:00Z", "is_current": day == 22, "groups": [],
             "checks": {"ok": 41, "failed": 1}}
            for name, day in (("20261122T235900000000Z", 22), ("20261121T235900000000Z", 21))
        ]  # fmt: skip
        client._kept_a_minute.clear()
        (shown,) = [frame.value for frame in open_page("data_health").dataframe if "Version" in frame.value]
        assert list(shown["Version"]) == ["20261121T235900000000Z"]
        assert list(shown["Checks"]) == ["41 passed, 1 failed"]

    def test_a_failure_stands_out_and_says_what_to_do(self, open_page: Open, double: Double) -> None:
        check = {"name": "deals_are_unique", "status": "failed", "message": "2 deals appear twice."}
        refresh = {"status": "failed", "started_at": "2026-11-22T10:00:00Z", "error": "Conversion error"}
        stopped = {"name": "relay", "state": "restarting"}
        double.freshness |= {"checks": [check], "last_refresh": refresh, "processes": [stopped], "events_behind": 5000}
        page = open_page("data_health")
        said = "\n".join(error.value for error in page.error)
        assert "last update of the figures failed" in said
        assert "“deals are unique” failed" in said
        assert "2 deals appear twice." in said
        assert "“relay” is restarting" in said
        assert "5,000 events behind" in said
        assert page.code[0].value == "Conversion error"

    def test_the_comparison_with_what_was_entered_is_said_in_plain_words(self, open_page: Open, double: Double) -> None:
        now = datetime.now(UTC)
        clean = {"checked_at": now.isoformat(), "is_clean": True, "events": 24_310, "wrong_figures": 0}
        failed = {"name": "reconcile: PostgreSQL and the warehouse", "status": "failed", "message": "Somebody's."}
        double.freshness |= {"reconciliation": clean}
        calm = words(open_page("data_health"))
        assert "24,310 events compared; each is in the warehouse once, and the figures are theirs." in calm
        assert "All is well" in calm

        wrong = clean | {"is_clean": False, "missing": 1, "extra": 2, "wrong_figures": 3}
        double.freshness |= {"reconciliation": wrong, "checks": [failed]}
        st.cache_data.clear()
        said = words(open_page("data_health"))
        assert "The figures differ from what was entered" in said
        assert "1 event missing from the warehouse, 2 events in the warehouse that nobody entered, 3 published" in said
        assert "Somebody's." not in said.replace("\n", "")  # another organization's, for all we know

        mended = wrong | {"wrong_figures": None, "repaired_at": (now + timedelta(seconds=1)).isoformat()}
        double.freshness |= {"reconciliation": mended}
        st.cache_data.clear()
        assert "That was repaired" in words(open_page("data_health"))

    def test_a_comparison_that_no_longer_runs_is_noticed(self, open_page: Open, double: Double) -> None:
        long_ago = (datetime.now(UTC) - timedelta(hours=4)).isoformat()
        double.freshness |= {"reconciliation": {"checked_at": long_ago, "is_clean": True, "events": 1}}
        assert "have not been compared for hours" in words(open_page("data_health"))

    def test_figures_that_stand_still_are_noticed(self, open_page: Open, double: Double) -> None:
        page = open_page("data_health")
        assert "stand still" not in words(page)
        through = datetime.fromisoformat(double.freshness["through"])
        page.session_state["waiting"] = (through, datetime.now(UTC) - timedelta(minutes=2))
        page.run()
        assert "The figures stand still" in words(page)
        double.freshness["events_behind"] = 0
        st.cache_data.clear()
        page.run()
        assert "stand still" not in words(page)

    def test_before_the_first_figures(self, open_page: Open, double: Double) -> None:
        double.freshness = {"warehouse_version": None, "published_at": None, "through": None, "events_behind": None}
        assert "No figures have been published yet" in words(open_page("data_health"))


class TestStates:
    @pytest.mark.parametrize("page", ["funnel", "team", "data_health"])
    @pytest.mark.parametrize(
        ("problem", "said"),
        [
            ((503, "warehouse_not_ready", ""), "The figures are not ready yet"),
            ((403, "forbidden", "Your role may not read metrics."), "You may not see this"),
            ((500, "internal", "psycopg.OperationalError"), "Reference for support: 0190-test"),
        ],
    )
    def test_an_error_is_explained(
        self, open_page: Open, double: Double, page: str, problem: tuple[int, str, str], said: str
    ) -> None:
        double.problems["/v1/freshness"] = problem
        shown = words(open_page(page))
        assert said in shown
        assert "psycopg" not in shown


class TestApp:
    def test_asks_a_stranger_to_sign_in_and_lets_them_in(self, api_url: str) -> None:
        assert api_url
        page = AppTest.from_file(str(serve.SCRIPT), default_timeout=60).run()
        page.text_input(key="email").input("manager@example.com")
        page.text_input(key="password").input("guess")
        page.button[0].click().run()
        assert "password is not right" in words(page)
        page.text_input(key="password").input("sluice-demo")
        page.button[0].click().run()
        assert "Today" in words(page)
        assert "Northwind Traders" in words(page)
        page.button(key="sign_out").click().run()
        assert page.text_input(key="email")

    def test_an_api_that_is_down_is_explained_and_tried_again(
        self, api_url: str, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_API_URL", "http://127.0.0.1:1")
        page = AppTest.from_file(str(serve.SCRIPT), default_timeout=60)
        page.session_state["sign_in"] = sign_in
        page.run()
        assert "Sluice cannot be reached" in words(page)
        assert not page.text_input
        monkeypatch.setenv("SLUICE_API_URL", api_url)
        page.button[0].click().run()
        assert "Northwind Traders" in words(page)

    def test_a_sign_in_that_ended_leads_back_to_it(self, double: Double, sign_in: SignIn) -> None:
        double.end_sign_ins()
        page = AppTest.from_file(str(serve.SCRIPT), default_timeout=60)
        page.session_state["sign_in"] = sign_in
        page.run()
        assert "Your sign-in has ended" in words(page)
        assert page.text_input(key="email")


def test_what_is_not_there_is_a_dash_in_columns_of_numbers_too() -> None:
    page = AppTest.from_string(
        "from dashboards import tables\ntables.show([{'Name': 'a', 'Seats': None}, {'Name': 'b', 'Seats': 5}])"
    ).run()
    assert page.dataframe[0].proto.placeholder == money.NOTHING
