"""The pages of Today and Analyse: what they ask, and what they say of the answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import streamlit as st
from streamlit.proto.Metric_pb2 import Metric as MetricProto
from streamlit.testing.v1 import AppTest

from dashboards import money, sentences
from dashboards.pages import find_views
from dashboards.views import today
from tests.dashboards import counting
from tests.dashboards.double import Double
from tests.dashboards.double_access import TEAMS

Open = Callable[..., AppTest]

#: A row with every figure that any of the pages shows.
ROW: dict[str, Any] = {
    "group": "o1", "pipeline_id": "new", "stage_id": "new-0", "position": 0, "kind": "open", "currency": "EUR",
    "deals_created": 12, "deals_won": 5, "deals_lost": 3, "win_rate": 0.625, "won_amount_minor": 99_999_900,
    "lost_amount_minor": 1_000, "median_days": 12.0, "p90_days": 30.0, "visited": 9, "still_here": 2, "target_days": 10,
    "amount_per_win_minor": 2e7, "median_cycle_days": 20.0, "velocity_minor_per_day": 1_234.5, "open_deals": 4,
    "open_amount_minor": 5_000, "win_probability": 0.25, "closed_deals": 8, "weighted_amount_minor": 1_250,
    "stalled_deals": 2, "stalled_amount_minor": 700, "booked_amount_minor": 100, "due_amount_minor": 900,
    "forecast_minor": 325, "best_case_minor": 1_000, "due_deals": 2, "campaign_id": "k0",
    "scored_deals": 1, "scored_amount_minor": 400,
}  # fmt: skip
TOTAL: dict[str, Any] = {
    "stage_id": None, "from_stage_id": None, "group": None, "is_total": True, "won": 48, "cohort": 200,
    "conversion": 0.24, "won_earlier": 62, "cohort_earlier": 200, "conversion_earlier": 0.31, "difference": -0.07,
    "low": -0.156, "high": 0.017, "is_chance": True,
}  # fmt: skip
GROUP: dict[str, Any] = TOTAL | {
    "group": "o1", "is_total": False, "share": 1.0, "share_earlier": 1.0, "rate_effect": -0.07, "mix_effect": 0.0
}  # fmt: skip


def words(page: AppTest) -> str:
    assert not page.exception, page.exception
    kinds = (page.title, page.header, page.markdown, page.caption, page.error, page.info, page.text)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


@pytest.mark.parametrize(
    ("view", "metrics"),
    [
        ("today", {"deals_created", "bookings", "lost_reasons", "forecast", "stalled_deals"}),
        ("speed", {"days_in_stage", "exit_paths", "time_between", "sales_cycle_days"}),
        ("sources", {"velocity"}),
        ("pipeline", {"weighted_pipeline", "pipeline_value", "pipeline_changes", "stalled_deals"}),
        ("forecast", {"forecast", "forecast_accuracy", "score_forecast"}),
        ("lost_reasons", {"lost_reasons"}),
        ("compare", {"conversion_change"}),
    ],
)
def test_each_page_asks_its_metrics_and_draws_them(
    open_page: Open, double: Double, view: str, metrics: set[str]
) -> None:
    double.figures, double.totals = [ROW], [TOTAL, GROUP]
    page = open_page(view)
    words(page)
    asked = {path.removeprefix("/v1/metrics/") for path, _ in double.asked if path.startswith("/v1/metrics/")}
    assert metrics <= asked
    assert page.dataframe
    double.figures, double.totals = [], []
    assert not open_page(view).exception


@pytest.mark.parametrize("has_scores", [False, True])
def test_what_scores_foretold_stands_beside_the_forecast_where_any_deal_had_one(
    open_page: Open, double: Double, has_scores: bool
) -> None:
    issue = ROW | {
        "issued_at": "2026-04-01T00:00:00Z", "issued_deals": 3, "issued_scored_deals": 0, "committed_minor": 0,
        "issued_unscored_minor": 90_000, "score_forecast_minor": None, "score_error_share": None,
    }  # fmt: skip
    scored = issue | {"issued_scored_deals": 2, "score_forecast_minor": 123_400, "score_error_share": -0.5}
    double.figures = [issue, scored] if has_scores else [issue]
    shown = _issued_table(open_page("forecast"))
    if not has_scores:
        assert not [name for name in shown if "score" in name]
        return
    assert [value.partition(",")[0] for value in shown["Open without a score"]] == ["3 of 3", "1 of 3"]
    assert shown["By scores"][0] == money.NOTHING != shown["By scores"][1]


def _issued_table(page: AppTest) -> dict[str, list[str]]:
    [table] = [found.value for found in page.dataframe if "Issued" in found.value]
    return {str(name): list(table[name]) for name in table}


def test_today_leads_to_every_question_that_it_does_not_answer_itself(open_page: Open, double: Double) -> None:
    double.figures = [ROW]
    page = open_page("today")
    said = words(page).splitlines()
    pages = {view.path for view in find_views()}
    assert set(today.QUESTIONS.values()) <= pages
    assert set(today.QUESTIONS) <= set(said)  # links have but their label where there is no navigation
    assert {"What changed since last week?", "What will we close this quarter?", "Who needs help?"} <= set(said)


def test_today_is_of_the_scope_that_other_pages_have(open_page: Open, double: Double) -> None:
    double.figures = [ROW]
    chosen = f"team:{TEAMS[0]['id']}"
    words(open_page("today", whose=chosen, as_of="2026-03-04T09:30"))
    for metric in ("deals_created", "bookings", "lost_reasons", "forecast", "stalled_deals"):
        asked = double.questions(f"/v1/metrics/{metric}")
        assert {(one["whose"], one["as_of"][:10]) for one in asked} == {(chosen, "2026-03-04")}, metric
    [this, before] = double.questions("/v1/metrics/deals_created")
    assert (this["from"], this["to"]) == ("2026-02-25", "2026-03-04")  # seven whole days before the day of knowledge
    assert (before["from"], before["to"]) == ("2026-02-18", "2026-02-25")


def test_a_row_opens_the_deals_behind_it_in_a_dialog_with_an_address(open_page: Open, double: Double) -> None:
    double.figures = [ROW | {"group": "s1", "stage_id": None, "deals_won": 2}]
    page = open_page("sources", velocity_row="s1|")
    asked = double.questions("/v1/metrics/velocity/rows")[-1]
    assert (asked["group_by"], asked["group"], asked["measure"]) == ("source", "s1", "deals_won")
    assert "equals the figure" in words(page)


def test_a_table_says_what_the_chart_says(open_page: Open, double: Double) -> None:
    double.figures = [ROW | {"group": "s1", "stage_id": None}]
    table = open_page("sources").dataframe[0].value
    assert list(table["Won amount"]) == ["€1.00M"]
    assert list(table["Win rate"]) == ["63 %"]


def test_what_changed_the_pipeline_adds_up_and_opens_part_by_part(open_page: Open, double: Double) -> None:
    changes = {"opening": 900, "created": 400, "decreased": 100, "won": 300, "ending": 900, "moved": 0}
    double.figures = [
        ROW
        | {f"{part}_deals": 2 for part in changes}
        | {f"{part}_amount_minor": amount * 100 for part, amount in changes.items()}
    ]
    page = open_page("pipeline", pipeline_changes_row="won")
    parts = next(table.value for table in page.dataframe if "Part" in table.value)
    assert dict(zip(parts["Part"], parts["Amount"], strict=True)) == {
        "Open before": "€900", "Created": "+€400", "Amount lowered": "−€100", "Won": "−€300", "Open after": "€900",
        "In another stage": "€0",
    }  # fmt: skip
    assert double.questions("/v1/metrics/pipeline_changes/rows")[-1]["measure"] == "won_deals"


def test_the_compare_page_says_whether_it_could_be_chance(open_page: Open, double: Double) -> None:
    double.totals = [TOTAL, GROUP]
    said = words(open_page("compare"))
    assert "fell from 31 % (62 of 200) to 24 % (48 of 200), by 7.0 points" in said
    assert "That could be chance" in said
    for address, asked in (
        ({"against_what": "year", "period": "last_quarter"}, {"before_from", "before_to"}),
        ({"against_what": "whose", "before_whose": "owner:u0"}, {"before_whose"}),
        ({"against_what": "then"}, {"before_as_of"}),
    ):
        said = words(open_page("compare", **address))
        assert asked == {name for name in double.questions("/v1/metrics/conversion_change")[-1] if "before" in name}
    assert "Won of all: as known 24 % (48 of 200), earlier 31 % (62 of 200), 7.0 points less" in said
    assert sentences.certainty(TOTAL | {"low": -0.1, "high": -0.01, "is_chance": False}).startswith("That is hardly")


def test_choices_stay_when_a_page_is_left(open_page: Open, double: Double) -> None:
    double.figures = [ROW]
    page = open_page("sources", pipeline="renewal", period="last_quarter")
    # as Streamlit does where a page is left: widgets are forgotten, and the address is empty
    open_page("forecast", kept=page.session_state["choices"])
    asked = double.questions("/v1/metrics/forecast")[0]
    first = double.questions("/v1/metrics/velocity")[0]
    assert asked["pipeline_id"] == "renewal"
    assert (asked["from"], asked["to"]) == (first["from"], first["to"])


def test_a_period_that_ends_before_it_begins_is_explained_and_the_page_stays(open_page: Open, double: Double) -> None:
    double.figures = [ROW]
    page = open_page("sources", period="custom", from_="2026-05-01", to="2026-04-01")
    assert "That is no period" in words(page)
    assert page.dataframe


def test_cohorts_are_read_at_equal_age(open_page: Open, double: Double) -> None:
    page = open_page("cohorts", cohort_age="90")
    assert double.questions("/v1/metrics/funnel")[-1]["window_days"] == "90"
    assert len(page.dataframe[0].value)


def test_a_team_or_a_person_is_asked_about_and_own_fields_split(open_page: Open, double: Double) -> None:
    double.figures, double.totals = [ROW], [TOTAL, GROUP]
    team = open_page("funnel").selectbox(key="whose").options[1]
    assert team.startswith("Team ")
    chosen = f"team:{TEAMS[0]['id']}"
    for view in ("funnel", "pipeline", "forecast", "lost_reasons"):
        before = len(double.asked)
        page = open_page(view, whose=chosen)
        assert f"of {team}" in words(page), view
        asked = [query for path, query in double.asked[before:] if path.startswith("/v1/metrics/")]
        assert asked
        assert {query.get("whose") for query in asked} == {chosen}, view
    assert "Size" in open_page("funnel").selectbox(key="by").options
    page = open_page("compare")
    page.selectbox(key="why_by").select("custom:f2").run()
    assert double.questions("/v1/metrics/conversion_change")[-1]["group_by"] == "custom:f2"
    assert "explained by size" in words(page)


def test_r29_what_does_not_fit_is_counted(open_page: Open, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [f"Stage {number}" for number in range(25)]
    monkeypatch.setitem(counting.STAGES, "new", [*stages, "Won", "Lost"])
    for number in range(40):
        monkeypatch.setitem(counting.OWNERS, f"o{number}", (f"Person {number}", "t1"))
        monkeypatch.setitem(counting.LABELS, f"o{number}", f"Person {number}")
    double.deals = counting.sample_deals(datetime.now(UTC).date(), count=2000)
    page = open_page("funnel", by="owner", period="this_year")
    said = words(page)
    assert "26 stages: the darker, the larger the share; the table has the figures." in said
    assert "20 of 40 groups shown, the largest; all in the table." in said
    by_owner = page.dataframe[1].value
    assert len(by_owner) == 40
    assert set(stages) <= set(by_owner.columns)


def test_r27_a_young_cohort_is_grey_and_said(open_page: Open) -> None:
    page = open_page("funnel", period="this_month")
    assert "The period is not over" in words(page)
    assert {metric.proto.color for metric in page.metric if metric.delta} <= {MetricProto.MetricColor.GRAY}


def test_what_changed_a_figure_of_the_past_is_said_under_its_chart(open_page: Open, double: Double) -> None:
    double.figures = [ROW | {"group": "s1", "stage_id": None}]
    assert "not restated since" in words(open_page("sources", period="last_quarter"))
    double.restated = [{"deal_id": "d1", "change": "gone", "before": 1, "after": None, "difference": -1}]
    st.cache_data.clear()
    page = open_page("sources", period="last_quarter")
    assert "from 11 to 10" in page.expander[0].label
    assert list(page.dataframe[0].value.iloc[0]) == ["deals?id=d1", "gone", "1", "–"]
    asked = double.questions("/v1/metrics/velocity/restatements")[-1]
    assert (asked["measure"], "as_of" in asked) == ("deals_won", False)
    st.cache_data.clear()
    assert "restated" not in words(open_page("sources", period="this_quarter"))


def test_r22_amounts_in_other_currencies_stand_beside_the_sums(open_page: Open, double: Double) -> None:
    double.figures = [ROW | {"group": "s1", "stage_id": None}]
    double.other_currencies = [
        {"figure": "won_amount_minor", "currency": "USD", "facts": 3, "amount_minor": 123_400},
        {"figure": "won_amount_minor", "currency": "JPY", "facts": 1, "amount_minor": 900},
    ]
    said = words(open_page("sources"))
    assert r"beside these sums\: won amount \$1,234 (3), ¥900 (1)" in said
