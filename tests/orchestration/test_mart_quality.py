"""What a build must be like before people see it: suites of Great Expectations hold what is not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from contracts.warehouse import Group, Mart, Part, Speed
from orchestration.build import mart_quality
from orchestration.build.database import build_path
from orchestration.build.lock import build_lock
from orchestration.build.mart_quality import History, MartQuality
from orchestration.build.suites import Expectation, Suite, SuiteError, SuiteFinding, judge_suites
from orchestration.publish import last_publication
from orchestration.refresh import Refresher
from orchestration.update import judge_marts
from tests.orchestration.conftest import Installation

_SALES = Part(Group.SALES, Speed.LIVE)


def judge_here(suites: Sequence[Suite], frames: Mapping[str, pl.DataFrame], **_: object) -> list[SuiteFinding]:
    """As Great Expectations judges, which takes five seconds to begin."""
    found = []
    for suite in suites:
        failed = [
            str(one.of["column"])
            for one in suite.expectations
            for value in frames[suite.frame][str(one.of["column"])]
            if not pl.Series([value]).is_between(
                one.of["min_value"] if one.of["min_value"] is not None else -1e300,
                one.of["max_value"] if one.of["max_value"] is not None else 1e300,
            )[0]
        ]
        found.append(SuiteFinding(suite.name, not failed, "", tuple(failed)))
    return found


@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_broken_batch_stays_off_the_pages_until_it_is_mended_and_everybody_reads_why(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_real: bool
) -> None:
    if not is_real:
        monkeypatch.setattr(mart_quality, "judge_suites", judge_here)
    warehouse = replace(installation.warehouse, quality=MartQuality(tmp_path / "quality"))
    refresher = Refresher.over(warehouse, installation.instance)
    assert refresher.refresh_if_due() is True
    shown = last_publication(warehouse.url)
    assert shown is not None
    assert [set(values) for values in History(tmp_path / "quality" / "history.json").read()] != []
    assert not (tmp_path / "quality" / "docs").exists()  # what is usual waits for nobody
    with build_lock(warehouse.url, holder="the test", wait_seconds=5):
        assert judge_marts(warehouse, refresher._project, only_unusual=True) is None
        assert all(one.passed for one in judge_marts(warehouse, refresher._project) or [])
    if is_real:
        assert "fct_deals" in (tmp_path / "quality" / "docs" / "marts" / "index.html").read_text()

    with duckdb.connect(str(build_path(warehouse.url))) as build:  # a bug, or a hand, whatever tests the models have
        build.execute("update fct_deals set amount_minor = 1000000000000001 where known_to is null")
    with build_lock(warehouse.url, holder="the test", wait_seconds=5):
        found = judge_marts(warehouse, refresher._project, only_unusual=True) or []
    assert [(one.part, one.measure.name) for one in found if not one.passed] == [(_SALES, "largest_amount")]
    installation.new_deal()
    assert refresher.refresh_if_due() is False
    after = last_publication(warehouse.url)
    assert after is not None
    assert after.row_counts["fct_deals"] == shown.row_counts["fct_deals"]
    told = {group.name: group for group in warehouse.status.read().for_everybody().groups}
    operators = {group.name: group for group in warehouse.status.read().groups}
    assert "largest amount: It is 1,000,000,000,000,001, and should be at most 1,000,000,000,000,000." in str(
        operators["sales"].error
    )
    assert told["sales"].error
    assert "1,000" not in str(told["sales"].error)
    assert told["shared"].error is None

    with duckdb.connect(str(build_path(warehouse.url))) as build:
        build.execute("update fct_deals set amount_minor = 5 where amount_minor > 1000000000000000")
    with build_lock(warehouse.url, holder="the test", wait_seconds=5):
        assert all(one.passed for one in judge_marts(warehouse, refresher._project) or [])
    refresher._not_before = 0.0
    assert refresher.refresh_if_due() is True
    after = last_publication(warehouse.url)
    assert after is not None
    assert after.row_counts["fct_deals"] > shown.row_counts["fct_deals"]


@pytest.mark.parametrize(("now", "passes"), [(2.0, True), (2.9, True), (3.2, False), (1.2, False)])
def test_how_much_there_is_has_bounds_that_were_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float, passes: bool
) -> None:
    judged: list[Suite] = []

    def judge(suites: list[Suite], *_: object, **__: object) -> list[object]:
        judged.extend(suites)
        return []

    monkeypatch.setattr(mart_quality, "judge_suites", judge)
    quality = MartQuality(tmp_path)
    size = mart_quality._size(Mart.FCT_DEALS, ["deal."])
    for _ in range(4):
        quality.history.add({"fct_deals.rows_per_event": 2.0})
    quality._judge({size: now})
    assert judged == []  # four are too few to say what is usual
    quality.history.add({"fct_deals.rows_per_event": 2.0})
    quality._judge({size: now})
    [expected] = judged[0].expectations
    assert (expected.of["min_value"] <= now <= expected.of["max_value"]) is passes


def test_the_first_rows_of_a_mart_that_was_empty_are_none_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Suite] = []

    def judge(suites: list[Suite], *_: object, **__: object) -> list[object]:
        judged.extend(suites)
        return []

    monkeypatch.setattr(mart_quality, "judge_suites", judge)
    quality = MartQuality(tmp_path)
    for _ in range(9):
        quality.history.add({"fct_line_items.rows_per_event": 0.0})
    quality._judge({mart_quality._size(Mart.FCT_LINE_ITEMS, ["deal."]): 0.001})
    assert judged == []


def test_history_is_bounded(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    for number in range(210):
        history.add({"a": number})
    assert [values["a"] for values in history.read()] == list(range(10, 210))
    assert json.loads((tmp_path / "history.json").read_text())


@pytest.mark.slow
def test_suites_that_cannot_be_judged_are_an_error() -> None:
    suite = Suite("x", "x", "rows", [Expectation("NoSuchExpectation", {})])
    with pytest.raises(SuiteError, match="NoSuchExpectation"):
        judge_suites([suite], {"x": pl.DataFrame({"rows": [1]})})
