"""Numbers that were wrong once, each with what is right."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.stages import Outcome
from metrics.errors import ParameterError
from metrics.parameters import read
from metrics.registry import definition_of, definitions
from metrics.restatements import Restatement, restatements
from metrics.rows import CellAddress
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

STAGES = (("A", "open"), ("B", "open"), ("Won", "won"), ("Paid", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-12-01"}


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


def test_staying_in_a_stage_is_no_entry_whatever_was_learned_first(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=datetime(2026, 5, 1, tzinfo=UTC))
    log.move(deal, pipeline.stages[1], at=datetime(2026, 5, 31, tzinfo=UTC))
    log.move(deal, pipeline.stages[1], at=datetime(2026, 5, 3, tzinfo=UTC), recorded=datetime(2026, 6, 1, tzinfo=UTC))
    for metric in ("funnel", "days_in_stage"):
        row = ask(log).answer(metric, pipeline_id=pipeline.id, window_days=10, **PERIOD).rows[1]
        assert (row["still_here"], row["median_days"]) == (1, None)


def test_every_deal_of_the_cohort_stands_in_one_place_also_within_a_window(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    _, b, _, paid, lost = pipeline.stages
    moved_late, lost_late, won_early, moved_on = (log.deal(pipeline, at=BEGINNING) for _ in range(4))
    only_lost = log.deal(pipeline, at=BEGINNING, stage=lost)
    log.move(moved_late, b, at=BEGINNING + days(20))
    log.lose(lost_late, at=BEGINNING + days(30))
    log.win(won_early, at=BEGINNING + days(2))
    log.win(moved_on, at=BEGINNING + days(2))
    log.close(moved_on, Outcome.WON, stage=paid, at=BEGINNING + days(25))
    assert only_lost
    asker = ask(log)
    for window, still_here, gone in ((10, 2, {"A": 0, "Lost": 1}), (None, 1, {"A": 1, "Lost": 1})):
        given: dict[str, Any] = {"pipeline_id": pipeline.id, **PERIOD} | ({"window_days": window} if window else {})
        answer = asker.answer("funnel", **given)
        by_name = {answer.labels[row["stage_id"]]: row for row in answer.rows}
        assert answer.totals == [
            {"group": None, "cohort": 5, "still_here": still_here, "lost": sum(gone.values()), "won": 2}
        ]
        assert {name: by_name[name]["lost"] for name in gone} == gone
        assert (by_name["Won"]["won"], by_name["Paid"]["won"]) == ((2, 0) if window else (1, 1))
        for measure in ("still_here", "lost", "won"):
            assert sum(row[measure] for row in answer.rows) == answer.totals[0][measure]


def test_what_was_won_twice_over_is_won_once_and_dated_by_the_first(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    deal = log.deal(pipeline, at=BEGINNING, amount_minor=1_000)
    log.win(deal, at=BEGINNING + days(1))
    log.close(deal, Outcome.WON, stage=pipeline.stages[3], at=BEGINNING + days(40))
    asker = ask(log)
    assert [row["deals_won"] for row in asker.answer("bookings", **PERIOD, group_by="month").rows] == [1]
    assert asker.answer("bookings", **PERIOD, group_by="month").rows[0]["group"] == "2026-01"


def test_sums_beyond_64_bits_are_exact(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    largest = 2**62
    for number in range(5):
        log.win(log.deal(pipeline, at=BEGINNING, amount_minor=largest), at=BEGINNING + days(1 + number))
    asker = ask(log)
    assert asker.answer("bookings", **PERIOD).rows[0]["won_amount_minor"] == 5 * largest
    assert asker.rows("bookings", "won_amount_minor", **PERIOD).amount_minor == 5 * largest
    funnel = asker.answer("funnel", pipeline_id=pipeline.id, unit="amount", **PERIOD)
    assert funnel.totals[0]["won"] == 5 * largest


@pytest.mark.parametrize(
    "instant", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31"]
)
def test_an_instant_at_the_ends_of_time_is_refused(instant: str, log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    asker = ask(log)
    for metric, definition in definitions().items():
        given: dict[str, Any] = {"pipeline_id": pipeline.id} if "pipeline_id" in definition.parameters else {}
        with pytest.raises(ParameterError, match="as_of: must lie between 1970-01-01 and 2200-01-01"):
            asker.answer(metric, as_of=instant, **given)


def test_restatements_list_the_facts_that_changed_a_figure_and_add_up(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    deals = [log.deal(pipeline, at=BEGINNING + days(number), amount_minor=100 * number) for number in range(5)]
    for deal in deals[:3]:
        log.win(deal, at=BEGINNING + days(10))
    then = BEGINNING + days(20)
    log.set_amount(deals[1], 777, at=BEGINNING + days(9), recorded=then + days(1))
    log.win(deals[3], at=BEGINNING + days(11), recorded=then + days(2))
    log.delete(deals[2], at=then + days(3))
    asker = ask(log)

    def compare(measure: str, most: int = 10) -> Restatement:
        definition = definition_of("bookings")
        parameters = read(definition, {"from": "2026-01-01", "to": "2026-12-01"})
        return restatements(
            asker.reader,
            definition,
            parameters,
            CellAddress(measure),
            earlier=then,
            viewer=asker.viewer(),
            now=asker.now,
            most=most,
        )

    amount = compare("won_amount_minor")
    assert (amount.before, amount.after) == (300, 777 + 300)
    assert [(item["change"], item["difference"]) for item in amount.items] == [
        ("changed", 677),
        ("appeared", 300),
        ("gone", -200),
    ]
    assert sum(item["difference"] for item in amount.items) == amount.difference
    few = compare("won_amount_minor", most=1)
    assert (few.others, few.items[0]["difference"] + few.others_difference) == (2, few.difference)
    assert compare("deals_won").difference == 0
