"""The metrics beside the funnel: figures equal their rows, money of other currencies is named, defaults are printed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from metrics.errors import ParameterError, UnknownPipelineError
from metrics.registry import definition_of
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]
STAGES = (("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


@pytest.fixture
def busy(log: EventLog, pipeline: Pipeline) -> EventLog:
    """Eighteen deals of three owners in two teams, some won, lost, reopened, handed over, in two currencies."""
    top = log.team()
    teams = [log.team(parent_team_id=top), log.team()]
    users = [log.user(), log.user()]
    owners = [*users, None]
    for team, user in zip(teams, users, strict=True):
        log.join(team, user, at=BEGINNING)
    for number in range(18):
        at = BEGINNING + days(number)
        currency = "USD" if number % 6 == 5 else "EUR"
        deal = log.deal(
            pipeline, at=at, owner_id=owners[number % 3], amount_minor=100 * number, currency=currency,
            source_id=UUID(int=8) if number % 2 else None,
        )  # fmt: skip
        if number % 4:
            log.move(deal, pipeline.stages[1], at=at + days(1))
        if number % 5 == 1:
            log.set_owner(deal, owners[(number + 1) % 2], at=at + days(1.5))
        if number % 3 == 0:
            log.win(deal, at=at + days(2 + number / 7))
        elif number % 3 == 1:
            log.lose(deal, at=at + days(3), lost_reason_id=UUID(int=7))
        if number % 9 == 0:
            log.reopen(deal, pipeline.stages[2], at=at + days(9))
    return log


def test_step_conversion_is_the_funnels_share_of_the_step_before(busy: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    asker = ask(busy)
    for order in ("reached", "visited", "strict"):
        funnel = asker.answer("funnel", pipeline_id=pipeline.id, **PERIOD, order=order).rows
        steps = asker.answer("step_conversion", pipeline_id=pipeline.id, **PERIOD, order=order).rows
        assert [row["share_of_previous"] for row in funnel[1:4]] == [row["conversion"] for row in steps]


def test_team_figures_add_up_to_the_single_metrics(busy: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    asker = ask(busy)
    created = asker.answer("deals_created", **PERIOD).rows[0]
    booked = asker.answer("bookings", **PERIOD).rows[0]
    value = asker.answer("pipeline_value", pipeline_id=pipeline.id).rows
    for group_by in ("owner", "team", "top_team"):
        rows = asker.answer("team_performance", **PERIOD, group_by=group_by).rows
        counted = [one.name for one in definition_of("team_performance").measures if not one.is_timed]
        sums = {name: sum(row[name] for row in rows) for name in counted}
        assert sums["deals_created"] == created["deals_created"] == 18
        assert sums["deals_won"] == booked["deals_won"]
        assert sums["won_amount_minor"] == booked["won_amount_minor"] > 0
        assert sums["open_deals"] == sum(row["open_deals"] for row in value)
        assert sums["open_amount_minor"] == sum(row["open_amount_minor"] for row in value)


def test_top_team_is_the_root_of_the_tree(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    root = log.team()
    middle = log.team(parent_team_id=root)
    leaf, ada = log.team(parent_team_id=middle), log.user()
    log.join(leaf, ada, at=BEGINNING)
    log.deal(pipeline, at=BEGINNING + days(1), owner_id=ada)
    rows = {by: ask(log).answer("team_performance", **PERIOD, group_by=by).rows for by in ("team", "top_team")}
    assert [row["team_id"] for row in rows["team"]] == [str(leaf)]
    assert [row["team_id"] for row in rows["top_team"]] == [str(root)]
    assert [row["team_id"] for row in ask(log).answer("team_performance", **PERIOD).rows] == [str(leaf)]


def test_other_currencies_are_left_out_of_sums_and_counted(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    log.deal(pipeline, at=BEGINNING, amount_minor=500)
    log.deal(pipeline, at=BEGINNING, amount_minor=900, currency="USD")
    log.deal(pipeline, at=BEGINNING, amount_minor=None, currency="USD")
    answer = ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD, unit="amount")
    assert (answer.rows[0]["entered"], answer.rows[0]["currency"]) == (500, "EUR")
    assert answer.notes == ["Deals whose amount is not in EUR are left out of sums: 1 (cohort)."]
    assert ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD).notes == []
    page = ask(log).rows("deals_created", "deals_created", **PERIOD)
    assert (page.count, page.amount_minor) == (3, 500)
    assert {(item["amount_minor"], item["currency"]) for item in page.items} == {
        (500, "EUR"),
        (900, "USD"),
        (None, "USD"),
    }


def test_a_retired_stage_shows_only_where_the_cohort_visited_it(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=BEGINNING)
    log.move(deal, pipeline.stages[1], at=BEGINNING + days(1))
    log.move(deal, pipeline.stages[2], at=BEGINNING + days(2))
    log.retire_stage(pipeline, pipeline.stages[1], at=BEGINNING + days(40))
    later = log.deal(pipeline, at=BEGINNING + days(50))
    log.move(later, pipeline.stages[2], at=BEGINNING + days(51))
    first: dict[str, Any] = {"start": "2026-01-01", "end": "2026-02-01"}
    second: dict[str, Any] = {"start": "2026-02-01", "end": "2026-04-01"}
    assert len(ask(log).entered(pipeline_id=pipeline.id, **first)) == 5
    assert ask(log).entered(pipeline_id=pipeline.id, **second, order="strict") == [1, 1, 0, 0]


def test_defaults_are_filled_in_and_printed(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    log.deal(pipeline, at=BEGINNING + days(3))
    asker = ask(log)
    asker.now = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)  # already February in Berlin
    printed = asker.answer("deals_created").parameters
    assert printed == {
        "pipeline_id": None,
        "from": "2025-11-04",
        "to": "2026-02-02",
        "group_by": "none",
        "currency": "EUR",
        "custom": None,
        "as_of": "2026-01-08T09:00:00Z",
    }
    then = asker.answer("deals_created", as_of="2026-01-06")
    assert (then.parameters["to"], then.as_of) == ("2026-01-07", datetime(2026, 1, 6, 22, 59, 59, 999999, tzinfo=UTC))


def test_an_instant_after_the_newest_fact_is_marked(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    del pipeline
    asker = ask(log)
    assert asker.answer("deals_created", as_of="2026-06-01T00:00:00Z").notes == [
        "as_of lies after the newest fact in the warehouse: this answer may still change."
    ]
    before = asker.answer("deals_created", as_of="2020-01-01T00:00:00Z")
    assert (before.rows[0]["deals_created"], len(before.notes)) == (0, 1)


def test_the_zone_is_the_one_known_then(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    # 23:30 UTC on the 9th: the 10th in Berlin, the 9th in New York
    log.deal(pipeline, at=datetime(2026, 1, 9, 23, 30, tzinfo=UTC))
    log.organization(at=BEGINNING + days(30), time_zone="America/New_York")
    day: dict[str, Any] = {"start": "2026-01-10", "end": "2026-01-11"}
    asker = ask(log)
    assert asker.answer("deals_created", **day).rows[0]["deals_created"] == 0
    assert asker.answer("deals_created", **day, as_of="2026-01-20").rows[0]["deals_created"] == 1


def test_a_pipeline_or_stage_that_is_not_known_then_is_refused(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    asker = ask(log)
    with pytest.raises(UnknownPipelineError):
        asker.answer("funnel", pipeline_id=UUID(int=3))
    with pytest.raises(UnknownPipelineError):
        asker.answer("funnel", pipeline_id=pipeline.id, as_of="2025-01-01")
    with pytest.raises(ParameterError, match="cohort"):
        asker.answer("funnel", pipeline_id=pipeline.id, cohort=f"entered:{UUID(int=3)}")
    with pytest.raises(ParameterError, match="pipeline_id"):
        asker.answer("funnel")
