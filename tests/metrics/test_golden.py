"""Numbers that others get wrong, by the number they bear in the project's list of them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from runtime.home import PROJECT
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

STAGES = (("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}


@pytest.fixture
def ask(ask_either: Ask) -> Ask:
    """Every case on both warehouses."""
    return ask_either


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


def _funnel(asker: Asker, pipeline: Pipeline, **given: object) -> list[int]:
    return asker.entered(pipeline_id=pipeline.id, **{**PERIOD, **given})


def test_golden_1_losing_a_deal_changes_no_earlier_count(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=BEGINNING)
    log.move(deal, pipeline.stages[1], at=BEGINNING + days(1))
    before = {order: _funnel(ask(log), pipeline, order=order)[:4] for order in ("reached", "visited", "strict")}
    log.lose(deal, at=BEGINNING + days(2), lost_reason_id=UUID(int=7))
    for regress in ("furthest", "current"):
        for order, counts in before.items():
            assert _funnel(ask(log), pipeline, order=order, regress=regress)[:4] == counts == [1, 1, 0, 0]
    row = ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD).rows[1]
    assert (row["lost"], row["lost_reasons"], row["still_here"]) == (1, {str(UUID(int=7)): 1}, 0)


def test_golden_2_two_visits_are_one_deal(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=BEGINNING)
    for day, stage in enumerate([1, 0, 1], start=1):
        log.move(deal, pipeline.stages[stage], at=BEGINNING + days(day))
    for order in ("reached", "visited", "strict"):
        assert _funnel(ask(log), pipeline, order=order) == [1, 1, 0, 0, 0]
    assert [row["moved_back"] for row in ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD).rows][:3] == [
        0,
        1,
        0,
    ]


def test_golden_3_the_first_stage_counts_as_entered(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    log.deal(pipeline, at=BEGINNING)
    log.deal(pipeline, at=BEGINNING, stage=pipeline.stages[1])
    assert _funnel(ask(log), pipeline, order="visited") == [1, 1, 0, 0, 0]
    assert _funnel(ask(log), pipeline, order="reached") == [2, 1, 0, 0, 0]


def test_golden_4_one_cohort_clock_decides_and_is_printed(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    january = log.deal(pipeline, at=datetime(2026, 1, 20, tzinfo=UTC))
    log.move(january, pipeline.stages[1], at=datetime(2026, 1, 25, tzinfo=UTC))
    log.win(january, at=datetime(2026, 2, 10, tzinfo=UTC))
    log.deal(pipeline, at=datetime(2026, 2, 5, tzinfo=UTC))
    asker = ask(log)
    february: dict[str, Any] = {"start": "2026-02-01", "end": "2026-03-01"}
    assert _funnel(asker, pipeline, **february) == [1, 0, 0, 0, 0]
    assert _funnel(asker, pipeline, **february, cohort="closed") == [1, 1, 1, 1, 0]
    entered = f"entered:{pipeline.stages[1].id}"
    assert _funnel(asker, pipeline, **february, cohort=entered) == [0, 0, 0, 0, 0]
    assert _funnel(asker, pipeline, start="2026-01-01", end="2026-02-01", cohort=entered) == [1, 1, 1, 1, 0]
    answer = asker.answer("funnel", pipeline_id=pipeline.id, **february, cohort="closed")
    assert answer.parameters == {
        "pipeline_id": str(pipeline.id),
        "cohort": "closed",
        "from": "2026-02-01",
        "to": "2026-03-01",
        "order": "reached",
        "regress": "furthest",
        "window_days": None,
        "unit": "deals",
        "group_by": "none",
        "currency": "EUR",
        "custom": None,
        "as_of": answer.as_of.isoformat().replace("+00:00", "Z"),
    }


def test_golden_5_a_past_day_is_answered_as_it_stood_then(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    first = log.deal(pipeline, at=BEGINNING, amount_minor=500)
    second = log.deal(pipeline, at=BEGINNING + days(1), amount_minor=70)
    that_day = (BEGINNING + days(5)).date().isoformat()
    snapshot = ask(log).answer("pipeline_value", pipeline_id=pipeline.id, as_of=that_day).rows
    funnel_then = ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD, as_of=that_day)
    assert [(row["open_deals"], row["open_amount_minor"]) for row in snapshot] == [(2, 570), (0, 0), (0, 0)]

    log.win(first, at=BEGINNING + days(10))
    log.move(second, pipeline.stages[2], at=BEGINNING + days(2), recorded=BEGINNING + days(11))
    log.set_amount(second, 9_999, at=BEGINNING + days(2), recorded=BEGINNING + days(11))
    log.change_stage(pipeline, pipeline.stages[0], name="Fresh", at=BEGINNING + days(12))
    log.retire_stage(pipeline, pipeline.stages[1], at=BEGINNING + days(12))
    log.delete(log.deal(pipeline, at=BEGINNING, recorded=BEGINNING + days(13)), at=BEGINNING + days(14))

    later = ask(log)
    assert later.answer("pipeline_value", pipeline_id=pipeline.id, as_of=that_day).rows == snapshot
    again = later.answer("funnel", pipeline_id=pipeline.id, **PERIOD, as_of=that_day)
    assert (again.rows, again.labels, again.parameters) == (
        funnel_then.rows,
        funnel_then.labels,
        funnel_then.parameters,
    )
    now = later.answer("pipeline_value", pipeline_id=pipeline.id).rows
    assert [(row["open_deals"], row["open_amount_minor"]) for row in now] == [(0, 0), (1, 9_999)]


def test_golden_5_a_funnel_as_known_earlier_keeps_the_stages_of_its_day_in_their_order(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    """Moved, renamed, backdated: `reached` goes by the order of the day that is asked about, as it was known then."""
    first, second, *_ = pipeline.stages
    for number in range(3):
        deal = log.deal(pipeline, at=BEGINNING)
        if number:
            log.move(deal, second, at=BEGINNING + days(number))
    names = {str(stage.id): stage.name for stage in pipeline.stages}
    that_day = (BEGINNING + days(5)).isoformat()

    def funnel(**given: Any) -> list[tuple[str, int]]:
        answer = ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD, **given)
        return [(answer.labels[row["stage_id"]], row["entered"]) for row in answer.rows]

    as_known_then = funnel(as_of=that_day)
    assert as_known_then[:2] == [(names[str(first.id)], 3), (names[str(second.id)], 2)]
    log.change_stage(pipeline, second, name="Was second", position=first.position - 5, at=BEGINNING + days(10))
    assert funnel()[:2] == [("Was second", 3), (names[str(first.id)], 3)]  # the first stage is the further one now
    assert funnel(as_of=that_day) == as_known_then
    log.change_stage(
        pipeline, second, name="Always first", position=first.position - 7, at=BEGINNING, recorded=BEGINNING + days(12)
    )
    assert funnel(as_of=that_day) == as_known_then


def test_golden_7_editing_a_close_date_moves_no_number(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=BEGINNING, close_date=datetime(2026, 2, 1, tzinfo=UTC).date())
    questions: list[tuple[str, dict[str, Any]]] = [
        ("pipeline_value", {}),
        ("funnel", PERIOD),
        ("win_rate", PERIOD),
        ("bookings", PERIOD),
    ]
    before = [ask(log).answer(name, pipeline_id=pipeline.id, **given).rows for name, given in questions]
    log.set_close_date(deal, datetime(2026, 9, 1, tzinfo=UTC).date(), at=BEGINNING + days(3))
    after = [ask(log).answer(name, pipeline_id=pipeline.id, **given).rows for name, given in questions]
    assert after == before


def test_golden_10_credit_goes_to_the_owner_at_the_time(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    north, south = log.team(), log.team()
    ada, bob = log.user(), log.user()
    log.join(north, ada, at=BEGINNING)
    log.join(south, bob, at=BEGINNING)
    deal = log.deal(pipeline, at=BEGINNING + days(1), owner_id=ada, amount_minor=300)
    log.win(deal, at=BEGINNING + days(5))
    log.set_owner(deal, bob, at=BEGINNING + days(6))
    log.leave(north, ada, at=BEGINNING + days(7))
    log.join(south, ada, at=BEGINNING + days(7))
    asker = ask(log)
    by_owner = {row["owner_id"]: row for row in asker.answer("team_performance", **PERIOD).rows}
    assert (by_owner[str(ada)]["deals_won"], by_owner[str(ada)]["won_amount_minor"]) == (1, 300)
    assert str(bob) not in by_owner
    by_team = asker.answer("team_performance", **PERIOD, group_by="team").rows
    assert [(row["team_id"], row["deals_won"]) for row in by_team] == [(str(north), 1)]
    bookings = asker.answer("bookings", **PERIOD, group_by="owner").rows
    assert [(row["group"], row["won_amount_minor"]) for row in bookings] == [(str(ada), 300)]


def test_golden_10_a_reopened_deal_opens_a_new_interval(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    deal = log.deal(pipeline, at=BEGINNING)
    log.move(deal, pipeline.stages[1], at=BEGINNING + days(1))
    log.win(deal, at=BEGINNING + days(3))
    log.reopen(deal, pipeline.stages[1], at=BEGINNING + days(50))
    open_again = {row["position"]: row for row in ask(log).answer("funnel", pipeline_id=pipeline.id, **PERIOD).rows}
    assert open_again[20]["still_here"] == 1
    assert open_again[20]["median_days"] is None  # not over yet
    log.lose(deal, at=BEGINNING + days(54))
    rows = ask(log).answer("days_in_stage", pipeline_id=pipeline.id, **PERIOD).rows
    assert [(row["median_days"], row["visited"]) for row in rows] == [(1.0, 1), (6.0, 1), (None, 0)]
    rate = ask(log).answer("win_rate", pipeline_id=pipeline.id, **PERIOD).rows
    assert [(row["won"], row["lost"], row["win_rate"]) for row in rate] == [(0, 1, 0.0)]


def test_golden_11_one_fixture_three_policies_three_answers(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    new, talk, offer = pipeline.stages[:3]
    skipper = log.deal(pipeline, at=BEGINNING)  # New, Offer, Won: never talked
    log.move(skipper, offer, at=BEGINNING + days(1))
    log.win(skipper, at=BEGINNING + days(2))
    faller = log.deal(pipeline, at=BEGINNING)  # New, Talk, Offer, back to New
    for day, stage in enumerate([talk, offer, new], start=1):
        log.move(faller, stage, at=BEGINNING + days(day))
    crab = log.deal(pipeline, at=BEGINNING, stage=offer)  # Offer, then Talk
    log.move(crab, talk, at=BEGINNING + days(1))
    asker = ask(log)
    answers = {
        (order, regress): _funnel(asker, pipeline, order=order, regress=regress)
        for order in ("reached", "visited", "strict")
        for regress in ("furthest", "current")
    }
    assert answers == {
        ("reached", "furthest"): [3, 3, 3, 1, 0],
        ("reached", "current"): [3, 2, 1, 1, 0],
        ("visited", "furthest"): [2, 2, 3, 1, 0],
        ("visited", "current"): [2, 1, 1, 1, 0],
        ("strict", "furthest"): [2, 1, 1, 0, 0],
        ("strict", "current"): [2, 0, 0, 0, 0],
    }


@pytest.mark.parametrize(
    ("zone", "day", "starts_at", "ends_at"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),  # 23 hours
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),  # 25 hours
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00", "2018-11-05T02:00:00"),  # no midnight
        ("Asia/Kolkata", "2026-01-01", "2025-12-31T18:30:00", "2026-01-01T18:30:00"),
    ],
)
def test_golden_15_a_day_is_the_organizations_own(zone: str, day: str, starts_at: str, ends_at: str, ask: Ask) -> None:
    first = datetime.fromisoformat(starts_at).replace(tzinfo=UTC)
    last = datetime.fromisoformat(ends_at).replace(tzinfo=UTC)
    log = EventLog()
    log.organization(at=first - days(10), time_zone=zone)
    pipeline = log.pipeline(stages=STAGES, at=first - days(10))
    tick = timedelta(microseconds=1)
    for instant in (first - tick, first, last - tick, last):
        log.win(log.deal(pipeline, at=instant), at=instant)
    following = (datetime.fromisoformat(day) + days(1)).date().isoformat()
    period: dict[str, Any] = {"start": day, "end": following}
    asker = ask(log)
    assert asker.answer("deals_created", **period).rows[0]["deals_created"] == 2
    assert asker.answer("bookings", **period).rows[0]["deals_won"] == 2
    assert asker.answer("win_rate", **period).rows[0]["won"] == 2
    assert asker.entered(pipeline_id=pipeline.id, **period)[0] == 2
    assert asker.answer("team_performance", **period).rows[0]["deals_won"] == 2
    by_month = asker.answer("deals_created", start="2018-01-01", end="2027-01-01", group_by="month").rows
    assert sum(row["deals_created"] for row in by_month) == 4


def test_each_of_the_fifteen_has_a_test_that_bears_its_number() -> None:
    named = {
        int(number)
        for path in (PROJECT / "tests").rglob("test_*.py")
        for number in re.findall(r"def test_golden_(\d+)_", path.read_text(encoding="utf-8"))
    }
    assert named == set(range(1, 16))
