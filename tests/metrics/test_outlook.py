"""What open deals will bring, and why conversions change: figures counted by hand."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from metrics.change import Share, newcombe
from metrics.errors import ParameterError
from metrics.period import Calendar, pieces
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

STAGES = (("New", "open"), ("Talk", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}
REASON = UUID(int=7)


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


def _by_stage(answer: Any, figure: str) -> dict[str, Any]:
    return {answer.labels[row["stage_id"]]: row[figure] for row in answer.rows}


def test_a_stock_of_a_past_day_is_told_as_it_was_then_and_as_it_was_known_then(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    first = log.deal(pipeline, at=BEGINNING, amount_minor=500)
    late = BEGINNING + days(30)
    log.move(first, pipeline.stages[1], at=BEGINNING + days(3), recorded=late)
    log.deal(pipeline, at=BEGINNING + days(1), amount_minor=70, recorded=late)  # imported
    log.set_amount(first, 900, at=BEGINNING + days(2), recorded=late)
    log.win(first, at=BEGINNING + days(40))
    day = (BEGINNING + days(5)).date().isoformat()
    asker = ask(log)
    then = asker.answer("pipeline_value", pipeline_id=pipeline.id, as_of=day)
    assert _by_stage(then, "open_amount_minor") == {"New": 500, "Talk": 0}
    now = asker.answer("pipeline_value", pipeline_id=pipeline.id, at=day)
    assert _by_stage(now, "open_amount_minor") == {"New": 70, "Talk": 900}
    assert now.parameters["at"] < now.parameters["as_of"]
    page = asker.rows("pipeline_value", "open_deals", pipeline_id=pipeline.id, at=day)
    assert (page.count, page.amount_minor) == (2, 970)
    with pytest.raises(ParameterError, match="at: lies after as_of"):
        asker.answer("pipeline_value", pipeline_id=pipeline.id, as_of=day, at=late.isoformat())


def test_stalled_deals_are_those_beyond_their_stages_target(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    old, new = log.deal(pipeline, at=BEGINNING, amount_minor=5), log.deal(pipeline, at=BEGINNING + days(35))
    log.move(old, pipeline.stages[1], at=BEGINNING + days(1))
    assert new
    at = (BEGINNING + days(40)).isoformat()
    log.deal(pipeline, at=BEGINNING + days(60))
    answer = ask(log).answer("stalled_deals", pipeline_id=pipeline.id, at=at)
    assert _by_stage(answer, "stalled_deals") == {"New": 0, "Talk": 1}
    assert _by_stage(answer, "median_days")["Talk"] == 39
    assert _by_stage(
        ask(log).answer("stalled_deals", pipeline_id=pipeline.id, at=at, stalled_days=3), "stalled_deals"
    ) == {
        "New": 1,
        "Talk": 1,
    }


def test_open_deals_weigh_what_their_stage_won_in_the_year_before(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    for number in range(4):
        deal = log.deal(pipeline, at=BEGINNING, amount_minor=100)
        if number < 2:
            log.move(deal, pipeline.stages[1], at=BEGINNING + days(1))
        (log.win if number == 0 else log.lose)(deal, at=BEGINNING + days(2))
    log.deal(pipeline, at=BEGINNING + days(3), amount_minor=1_000, close_date=date(2026, 3, 1))
    talking = log.deal(pipeline, at=BEGINNING + days(3), amount_minor=333, close_date=date(2026, 3, 2))
    log.move(talking, pipeline.stages[1], at=BEGINNING + days(4))
    asker = ask(log)
    answer = asker.answer("weighted_pipeline", pipeline_id=pipeline.id)
    assert _by_stage(answer, "win_probability") == {"New": 0.25, "Talk": 0.5}
    assert _by_stage(answer, "closed_deals") == {"New": 4, "Talk": 2}
    assert _by_stage(answer, "weighted_amount_minor") == {"New": 250, "Talk": 167}
    page = asker.rows("weighted_pipeline", "weighted_amount_minor", pipeline_id=pipeline.id)
    assert page.amount_minor == 417
    forecast = asker.answer("forecast", pipeline_id=pipeline.id, **PERIOD).rows[0]
    assert {
        name: forecast[name] for name in ("booked_amount_minor", "due_deals", "forecast_minor", "best_case_minor")
    } == {
        "booked_amount_minor": 100,
        "due_deals": 2,
        "forecast_minor": 517,
        "best_case_minor": 1_433,
    }
    april = asker.answer("forecast", pipeline_id=pipeline.id, start="2026-04-01", end="2026-07-01")
    assert [row["forecast_minor"] for row in april.rows] in ([], [0])


def test_golden_6_a_forecast_stays_as_it_was_issued(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    won = log.deal(pipeline, at=BEGINNING, amount_minor=100)
    log.win(won, at=BEGINNING + days(1))
    due = log.deal(pipeline, at=BEGINNING, amount_minor=400, close_date=date(2026, 2, 1))
    issued = (BEGINNING + days(10)).isoformat()
    before = ask(log).answer("forecast", pipeline_id=pipeline.id, as_of=issued, **PERIOD)
    assert before.rows[0]["forecast_minor"] == 500
    log.lose(due, at=BEGINNING + days(20))
    log.set_close_date(due, date(2027, 2, 1), at=BEGINNING + days(21))
    assert ask(log).answer("forecast", pipeline_id=pipeline.id, as_of=issued, **PERIOD).rows == before.rows
    later = ask(log).answer("forecast", pipeline_id=pipeline.id, **PERIOD).rows[0]
    assert (later["forecast_minor"], later["due_deals"]) == (100, 0)


def test_losses_are_counted_by_reason(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    for number, reason in enumerate([REASON, REASON, None]):
        deal = log.deal(pipeline, at=BEGINNING, amount_minor=10)
        log.lose(deal, at=BEGINNING + days(number), lost_reason_id=reason)
    asker = ask(log)
    rows = asker.answer("lost_reasons", **PERIOD).rows
    assert [(row["group"], row["deals_lost"], row["lost_amount_minor"]) for row in rows] == [
        (str(REASON), 2, 20),
        (None, 1, 10),
    ]
    assert asker.rows("lost_reasons", "deals_lost", group=str(REASON), **PERIOD).count == 2


def test_r30_lost_deals_behind_any_figure_say_why_they_were_lost(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    lost = log.deal(pipeline, at=BEGINNING)
    log.lose(lost, at=BEGINNING + days(1), lost_reason_id=REASON)
    back = log.deal(pipeline, at=BEGINNING)
    log.lose(back, at=BEGINNING + days(1), lost_reason_id=REASON)
    log.move(back, pipeline.stages[1], at=BEGINNING + days(2))
    given = {"pipeline_id": pipeline.id, "stage_id": str(pipeline.stages[0].id), **PERIOD}
    page = ask(log).rows("funnel", "entered", **given)
    assert {item["deal_id"]: item["lost_reason_id"] for item in page.items} == {
        str(lost.id): str(REASON),
        str(back.id): None,
    }


def test_entries_into_a_stage_are_counted_when_they_happen(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=datetime(2025, 12, 1, tzinfo=UTC))
    for day, stage in enumerate([1, 0, 1]):
        log.move(deal, pipeline.stages[stage], at=datetime(2026, 1, 10 + day, tzinfo=UTC))
    answer = ask(log).answer("stage_entered", pipeline_id=pipeline.id, **PERIOD)
    assert _by_stage(answer, "entered") == {"New": 1, "Talk": 1, "Won": 0, "Lost": 0}


def test_velocity_multiplies_what_it_names(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    for number in range(4):
        deal = log.deal(pipeline, at=BEGINNING, amount_minor=1_000)
        (log.win if number < 2 else log.lose)(deal, at=BEGINNING + days(10))
    log.deal(pipeline, at=BEGINNING)
    log.deal(pipeline, at=BEGINNING)
    row = ask(log).answer("velocity", pipeline_id=pipeline.id, **PERIOD).rows[0]
    assert row["velocity_minor_per_day"] == 2 * 0.5 * 1_000 / 10


def test_a_sales_cycle_runs_from_creation_to_the_winning(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    for number, took in enumerate((4, 6, 10)):
        deal = log.deal(pipeline, at=BEGINNING + days(number))
        log.win(deal, at=BEGINNING + days(number + took))
    again = log.deal(pipeline, at=BEGINNING)
    log.win(again, at=BEGINNING + days(1))
    log.reopen(again, pipeline.stages[1], at=BEGINNING + days(2))
    log.win(again, at=BEGINNING + days(20))
    log.lose(log.deal(pipeline, at=BEGINNING), at=BEGINNING + days(1))
    log.win(log.deal(pipeline, at=BEGINNING), at=BEGINNING + days(120))  # after the period
    row = ask(log).answer("sales_cycle_days", pipeline_id=pipeline.id, **PERIOD).rows[0]
    assert (row["deals_won"], row["median_days"], row["p90_days"]) == (4, 8.0, 17.0)


class TestChange:
    def test_effects_of_rate_and_mix_add_up_to_the_difference(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        sources = [UUID(int=81), UUID(int=82), None]
        for month, counts in ((1, (8, 2, 0)), (2, (3, 6, 2))):
            for source, count in zip(sources, counts, strict=True):
                for number in range(count):
                    at = datetime(2026, month, 5, tzinfo=UTC)
                    deal = log.deal(pipeline, at=at, source_id=source)
                    if number % (month + 1) == 0:
                        log.move(deal, pipeline.stages[1], at=at + days(1))
                        log.win(deal, at=at + days(2))
        given: dict[str, Any] = {"pipeline_id": pipeline.id, "start": "2026-02-01", "end": "2026-03-01"}
        answer = ask(log).answer("conversion_change", group_by="source", **given)
        assert (answer.parameters["before_from"], answer.parameters["before_to"]) == ("2026-01-01", "2026-02-01")
        totals = [row for row in answer.totals if row["is_total"]]
        assert len(totals) == 3
        assert (totals[0]["won_earlier"], totals[0]["cohort_earlier"]) == (5, 10)
        assert (totals[0]["won"], totals[0]["cohort"]) == (4, 11)
        for total in totals:
            every = [*answer.rows, *answer.totals]
            groups = [row for row in every if not row["is_total"] and row["stage_id"] == total["stage_id"]]
            effects = sum(row["rate_effect"] + row["mix_effect"] for row in groups if row["rate_effect"] is not None)
            assert effects == pytest.approx(total["difference"])
            assert total["low"] < total["difference"] < total["high"]

    def test_people_teams_and_instants_are_compared_over_one_period(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        ada, bob = log.user(), log.user()
        for number, owner in enumerate([ada] * 4 + [bob] * 6):
            deal = log.deal(pipeline, at=BEGINNING, owner_id=owner)
            if number % 2 == 0:
                log.win(deal, at=BEGINNING + days(2), recorded=BEGINNING + days(2 if owner == ada else 40))
        asked: dict[str, Any] = {"pipeline_id": pipeline.id, **PERIOD}

        def whole(**given: Any) -> tuple[int, ...]:
            answer = ask(log).answer("conversion_change", **asked, **given)
            assert (answer.parameters["before_from"], answer.parameters["before_to"]) == ("2026-01-01", "2026-04-01")
            total = answer.totals[0]
            return tuple(total[name] for name in ("won", "cohort", "won_earlier", "cohort_earlier"))

        assert whole(whose=f"owner:{ada}", before_whose=f"owner:{bob}") == (2, 4, 3, 6)
        assert whole(whose=f"owner:{ada}", before_whose="everybody") == (2, 4, 5, 10)
        assert whole(before_as_of=(BEGINNING + days(9)).isoformat()) == (5, 10, 2, 10)
        with pytest.raises(ParameterError, match="before_whose"):
            ask(log).answer("conversion_change", **asked, before_whose="bob")

    def test_the_interval_is_newcombes(self) -> None:
        # method 10 of Newcombe 1998, example a: 56/70 against 48/80
        low, high = newcombe(Share(56, 70), Share(48, 80)) or (0.0, 0.0)
        assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
        assert newcombe(Share(0, 0), Share(1, 2)) is None


class TestCalendar:
    def test_pieces_are_named_as_the_organization_names_them(self) -> None:
        april = Calendar(week_start=7, fiscal_month=4)
        day, end = date(2026, 3, 30), date(2026, 4, 2)
        assert [label for label, *_ in pieces("fiscal_quarter", day, end, april)] == ["FY2026-Q4", "FY2027-Q1"]
        assert [label for label, *_ in pieces("fiscal_year", day, end, april)] == ["FY2026", "FY2027"]
        assert [label for label, *_ in pieces("quarter", day, end, april)] == ["2026-Q1", "2026-Q2"]
        assert [label for label, *_ in pieces("week", day, end, april)] == ["2026-03-29"]
        assert [label for label, *_ in pieces("month", day, end, april)] == ["2026-03", "2026-04"]

    def test_answers_split_by_each(self, log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
        log.deal(pipeline, at=datetime(2026, 2, 11, tzinfo=UTC))
        for piece, label in (("week", "2026-02-09"), ("quarter", "2026-Q1"), ("fiscal_year", "FY2026")):
            answer = ask(log).answer("deals_created", group_by=piece, **PERIOD)
            assert [row["group"] for row in answer.rows] == [label]
            assert ask(log).rows("deals_created", "deals_created", group_by=piece, group=label, **PERIOD).count == 1
