"""The rules page: a rule is found, changed, replayed and looked up in its log."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards import double as double_of_api
from tests.dashboards.counting import STAGES, stage_id
from tests.dashboards.double import Double


@pytest.fixture(autouse=True)
def _administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(double_of_api.ME, "role", "admin")


def test_a_rule_is_changed_with_its_version(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("rules")
    assert not page.exception
    page.selectbox[2].select("off")
    page.text_area[0].set_value("deal.amount > 5000.0")
    next(button for button in page.button if button.label == "Save").click()
    page.run()
    assert not page.exception
    assert page.text_area[0].value == "deal.amount > 5000.0"
    assert ("/v1/rules/r1", {}) in double.asked


def test_what_sets_it_off_and_what_it_does_are_chosen_by_name(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    page = open_page("rules")
    _chosen(page, "When").select("score").run()
    next(button for button in page.button if button.label == "Another action").click().run()
    _chosen(page, "Does", -1).select("deal.move").run()
    assert not page.exception
    stage = _chosen(page, "Stage")
    assert "New business: Qualified" in stage.options
    stage.select_index(stage.options.index("New business: Lost"))
    next(field for field in page.text_input if field.label == "Reason").set_value("No answer")
    next(button for button in page.button if button.label == "Save").click().run()
    assert not page.exception
    document = double.changed[-1][1]["document"]
    lost = stage_id("new", len(STAGES["new"]) - 1)
    assert document["actions"][1] == {"do": "deal.move", "with": {"stage_id": lost, "reason": "No answer"}}
    assert document["trigger"] == {"kind": "score", "subject": "deal", "above": 0.7, "hysteresis": 0.05}


def test_an_action_that_sluice_does_not_know_any_more_stays_as_it_is(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.hostile = "another name"  # of every action
    page = open_page("rules")
    assert not page.exception
    assert any("does not know this action" in one.value for one in page.caption)
    next(button for button in page.button if button.label == "Save").click().run()
    assert double.changed[-1][1]["document"]["actions"][0]["do"] == "task.create"


def _chosen(page: AppTest, label: str, place: int = 0) -> Any:
    return [box for box in page.selectbox if box.label == label][place]


def test_a_replay_says_how_often_and_what_became_of_it(open_page: Callable[..., AppTest]) -> None:
    page = open_page("rules")
    next(button for button in page.button if button.label == "Replay").click()
    page.run()
    assert not page.exception
    figures = {metric.label: metric.value for metric in page.metric}
    assert figures["Would have fired"] == "1"
    assert figures["Of these won"].startswith("75")
    assert figures["Of the others won"].startswith("50")


def test_the_log_says_why_nothing_was_done(open_page: Callable[..., AppTest], double: Double) -> None:
    double.figures = [{"group": "r1", "rule_firings": 12, "acted": 9, "reversal_rate": 0.25, "won": 3, "lost": 1}]
    page = open_page("rules")
    figures = {metric.label: metric.value for metric in page.metric}
    assert (figures["Fired"], figures["Did something"], figures["Taken back"]) == ("12", "9", "25 %")
    log, changed = (frame.value for frame in page.dataframe[-2:])
    assert (list(log["Record"]), list(log["Came of it"])) == (["400 *seats*"], ["skipped stale"])
    assert list(changed["Now"]) == ["as the rule left it"]
    assert "1 stand as the rule left them" in page.caption[-1].value


def test_a_deal_says_what_rules_did_and_what_they_saw(open_page: Callable[..., AppTest]) -> None:
    page = open_page("deals", id="d1")
    assert not page.exception
    assert page.metric[0].value == "81 %"
    texts = [part.value for part in page.text]
    assert "Moved to Qualified by the rule “Big *ones*”, version 3" in texts
    assert any("deal.amount = 12500.0, score 0.81 of model 3" in text for text in texts)


def test_my_day_says_what_rules_tell(open_page: Callable[..., AppTest]) -> None:
    page = open_page("my_day")
    assert not page.exception
    assert "A *hot* deal is yours now" in [part.value for part in page.text]
    assert "Rules tell you (1)" in [part.value for part in page.header]
