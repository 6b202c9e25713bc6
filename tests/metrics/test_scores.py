"""Scores against what came of them, and as weights of a forecast: figures counted by hand, on both warehouses."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from contracts.events.relations import ContactCreated, ContactDeleted
from contracts.events.scores import LeadScored
from metrics import query
from metrics.change import Share, wilson
from metrics.compile import Compiled
from metrics.parameters import read
from metrics.registry import definition_of
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

Ask = Callable[[EventLog], Asker]

STAGES = (("New", "open"), ("Talk", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}


def test_scores_are_held_against_what_came_of_them_within_their_horizon(log: EventLog, ask_either: Ask) -> None:
    pipeline, ada = log.pipeline(stages=STAGES), log.user()
    told = (
        # score, when and how it ended
        (0.25, "won", 5),
        (0.25, "lost", 5),
        (0.29, "won", 40),  # too late for its horizon
        (0.85, "won", 10),
        (0.85, None, 0),  # its horizon is over
        (1.0, "won", 3),
    )
    for number, (score, end, day) in enumerate(told):
        deal = log.deal(pipeline, at=BEGINNING, owner_id=ada if number == 3 else None)
        log.score(deal, score, at=BEGINNING + days(1), horizon_days=30)
        log.score(deal, 0.5, at=BEGINNING + days(2), horizon_days=30)  # the first one counts
        if end is not None:
            (log.win if end == "won" else log.lose)(deal, at=BEGINNING + days(1 + day))
    late = log.deal(pipeline, at=BEGINNING)  # was won before its score, which nobody knew when it was given
    log.score(late, 0.65, at=BEGINNING + days(2), recorded=BEGINNING + days(2), horizon_days=30)
    log.win(late, at=BEGINNING + days(1), recorded=BEGINNING + days(20))
    still = log.deal(pipeline, at=BEGINNING)  # had not changed for longer than the horizon when it was scored first
    log.score(still, 0.55, at=BEGINNING + days(1), recorded=BEGINNING + days(40), horizon_days=30)
    log.win(still, at=BEGINNING + days(50))
    young = log.deal(pipeline, at=BEGINNING)
    log.score(young, 0.22, at=BEGINNING + days(45), horizon_days=30)
    log.deal(pipeline, at=BEGINNING + days(50))  # has no score
    asker = ask_either(log)
    found = asker.answer("score_calibration", **PERIOD)
    rows = {row["group"]: row for row in found.rows}
    names = ("scored", "settled", "open", "won")
    assert {group: tuple(row[name] for name in names) for group, row in rows.items()} == {
        "tenth_03": (4, 3, 1, 1),
        "tenth_06": (1, 1, 0, 1),
        "tenth_07": (1, 1, 0, 1),
        "tenth_09": (2, 2, 0, 1),
        "tenth_10": (1, 1, 0, 1),
    }
    assert rows["tenth_03"]["forecast"] == pytest.approx((0.25 + 0.25 + 0.29) / 3)
    assert rows["tenth_03"]["won_rate"] == pytest.approx(1 / 3)
    assert (rows["tenth_03"]["low"], rows["tenth_03"]["high"]) == wilson(Share(1, 3))
    [total] = found.totals
    missed = 0.75**2 + 0.25**2 + 0.29**2 + 0.15**2 + 0.85**2 + 0.45**2 + 0.35**2
    assert total["brier"] == pytest.approx(missed / 8)
    assert total["brier_reference"] == pytest.approx(5 / 8 * 3 / 8)
    earlier = definition_of("score_calibration", 1)
    asked = read(earlier, {"from": "2026-01-01", "to": "2026-04-01", "group_by": "none"})
    [before] = query.answer(asker.reader, earlier, asked, viewer=asker.viewer(), now=asker.now).rows
    assert (before["settled"], before["won"]) == (8, 4)  # what the definition before says of the backdated win
    page = asker.rows("score_calibration", "settled", group="tenth_03", **PERIOD)
    assert page.count == 3
    assert {item["outcome"] for item in page.items} == {"won", "not won"}
    [of_ada] = asker.answer("score_calibration", owner_ids=[ada], **PERIOD, group_by="none").rows
    assert (of_ada["scored"], of_ada["won"]) == (1, 1)
    [early] = asker.answer("score_calibration", **PERIOD, group_by="none", as_of=str((BEGINNING + days(8)).date())).rows
    assert (early["scored"], early["settled"], early["won"]) == (7, 3, 2)


def test_a_forecast_by_scores_weighs_what_has_none_by_its_stage(log: EventLog, ask_either: Ask) -> None:
    pipeline = log.pipeline(stages=STAGES)
    for number in range(4):
        deal = log.deal(pipeline, at=BEGINNING, amount_minor=100)
        (log.win if number == 0 else log.lose)(deal, at=BEGINNING + days(2))
    scored = log.deal(pipeline, at=BEGINNING + days(3), amount_minor=1_001, close_date=date(2026, 3, 1))
    log.score(scored, 0.9, at=BEGINNING + days(3))
    log.score(scored, 0.5, at=BEGINNING + days(4))
    log.score(scored, 0.7, at=BEGINNING + days(20))
    log.deal(pipeline, at=BEGINNING + days(3), amount_minor=200, close_date=date(2026, 3, 2))
    asker = ask_either(log)
    then = str((BEGINNING + days(10)).date())
    [row] = asker.answer("score_forecast", pipeline_id=pipeline.id, as_of=then, **PERIOD).rows
    # half of 1,001 is rounded up; of the stage's four deals one was won
    assert (row["due_deals"], row["scored_deals"], row["scored_amount_minor"]) == (2, 1, 1_001)
    assert (row["weighted_amount_minor"], row["forecast_minor"]) == (501 + 50, 100 + 501 + 50)
    [now] = asker.answer("score_forecast", pipeline_id=pipeline.id, **PERIOD).rows
    assert now["weighted_amount_minor"] == 701 + 50
    assert asker.rows("score_forecast", "weighted_amount_minor", pipeline_id=pipeline.id, **PERIOD).amount_minor == 751
    assert asker.rows("score_forecast", "scored_deals", pipeline_id=pipeline.id, **PERIOD).count == 1
    assert UUID(asker.rows("score_forecast", "scored_deals", pipeline_id=pipeline.id, **PERIOD).items[0]["deal_id"])


def _tell_of_a_forecast(log: EventLog) -> Pipeline:
    """A quarter of those in the first stage are won; of two deals due in March one is scored, and late again."""
    pipeline = log.pipeline(stages=STAGES)
    for number in range(4):
        deal = log.deal(pipeline, at=BEGINNING, amount_minor=100)
        (log.win if number == 0 else log.lose)(deal, at=BEGINNING + days(2))
    scored = log.deal(pipeline, at=BEGINNING + days(3), amount_minor=1_001, close_date=date(2026, 3, 5))
    log.deal(pipeline, at=BEGINNING + days(3), amount_minor=200, close_date=date(2026, 3, 2))
    log.score(scored, 0.5, at=BEGINNING + days(6))
    log.score(scored, 0.9, at=BEGINNING + days(5), recorded=BEGINNING + days(8))  # an older one, learned later
    log.score(scored, 0.7, at=BEGINNING + days(9), recorded=BEGINNING + days(15))
    log.move(scored, pipeline.stages[1], at=BEGINNING + days(40))
    log.win(scored, at=BEGINNING + days(60))
    log.deal(pipeline, at=BEGINNING + days(70))  # the days before are over
    return pipeline


_FORECAST = Told(_tell_of_a_forecast)


def test_golden_6_what_scores_foretold_stays_and_is_held_against_what_came(log: EventLog, ask_either: Ask) -> None:
    pipeline = _tell_of_a_forecast(log)
    asker = ask_either(log)
    asked: dict[str, Any] = {"pipeline_id": pipeline.id, "start": "2026-01-05", "end": "2026-04-01"}
    names = (
        "issued_deals",
        "issued_scored_deals",
        "issued_unscored_minor",
        "score_forecast_minor",
        "score_error_minor",
    )
    rows = [tuple(row[name] for name in names) for row in asker.answer("forecast_accuracy", **asked).rows]
    assert rows[:4] == [
        (0, 0, 0, None, None),  # nothing was there yet
        (2, 1, 200, 100 + 501 + 50, 651 - 1_101),  # half of 1,001 is rounded up, the other at a quarter
        (2, 1, 200, 651, 651 - 1_101),  # the score of that Friday is not known yet
        (2, 1, 200, 100 + 701 + 50, 851 - 1_101),
    ]
    early = asker.answer("forecast_accuracy", **asked, as_of=(BEGINNING + days(8)).isoformat()).rows
    assert [row["score_forecast_minor"] for row in early] == [None, 651]
    assert asker.rows("forecast_accuracy", "scored_deals", **asked, as_of="2026-02-01").count == 1
    page = asker.rows("forecast_accuracy", "score_weighted_amount_minor", **asked, as_of="2026-02-01")
    assert (page.count, page.amount_minor) == (2, 751)


def test_golden_6_each_day_keeps_what_scores_foretold_at_its_end(ask_built_either: Callable[[EventLog], Asker]) -> None:
    asker, pipeline = ask_built_either(_FORECAST.log), _FORECAST.by
    names = "scored_deals, scored_minor, unscored_deals, unscored_minor, expected_by_score_minor, score_forecast_minor"
    with asker.reader.session() as session:
        stored = session.fetch(
            Compiled(
                f"select day, forecast_minor, {names} from {session.dialect.schema}.forecast_daily\n"
                f"where pipeline_id = '{pipeline.id}' and month = date '2026-03-01'",
                {},
            )
        )
    by_day = {day: tuple(figures) for day, *figures in stored}
    first = BEGINNING.date()
    assert [by_day[first + days(day)] for day in (3, 6, 9, 14, 15)] == [
        (300, 0, 0, 2, 1_201, None, None),  # no score then, so no such forecast
        (300, 1, 1_001, 1, 200, 501, 551),
        (300, 1, 1_001, 1, 200, 501, 551),
        (300, 1, 1_001, 1, 200, 501, 551),  # the score of five days before is learned tomorrow
        (300, 1, 1_001, 1, 200, 701, 751),
    ]
    won = by_day[first + days(61)]
    assert (won[0], won[2:]) == (1_001 + 80, (0, 1, 200, None, None))  # two of five were won by then


def test_golden_12_a_score_is_the_replay_of_its_log_at_any_instant(log: EventLog, ask_either: Ask) -> None:
    """Scores come out of order and late; what weighs a deal is what whoever replays the log up to then finds."""
    random, pipeline = Random(12), log.pipeline(stages=STAGES)
    owners = [log.user() for _ in range(6)]
    deals = [
        log.deal(pipeline, at=BEGINNING, owner_id=owner, amount_minor=10_000, close_date=date(2026, 3, 2))
        for owner in owners
    ]
    given = deals[1:] * 6
    random.shuffle(given)
    for deal in given:
        at = BEGINNING + timedelta(minutes=random.randrange(1, 40_000))
        score = random.randrange(100) / 100
        log.score(deal, score, at=at, recorded=at + days(random.choice([0, 3, 9])))
    asker = ask_either(log)
    seen = set()
    for day in (2, 9, 16, 23, 30, 60):
        instant = BEGINNING + days(day)
        newest: dict[UUID, tuple[datetime, float]] = {}
        for event in log.events:
            if isinstance(event.data, LeadScored) and event.recorded_at <= instant and event.data.deal_id:
                newest[event.data.deal_id] = max(
                    newest.get(event.data.deal_id, (event.occurred_at, event.data.score)),
                    (event.occurred_at, event.data.score),
                )
        rows = asker.answer("score_forecast", group_by="owner", as_of=instant.isoformat(), **PERIOD).rows
        assert {row["group"]: (row["scored_deals"], row["weighted_amount_minor"]) for row in rows} == {
            str(owner): (1, round(newest[deal.id][1] * 10_000)) if deal.id in newest else (0, 0)
            for deal, owner in zip(deals, owners, strict=True)
        }
        seen.add(tuple(sorted(newest.items())))
    assert len(seen) > 3


def _tell_of_leads(log: EventLog) -> dict[str, Any]:
    pipeline, ada = log.pipeline(stages=STAGES), log.user()
    told = (
        # score, the day on which a deal named them
        (0.25, 5),
        (0.25, None),
        (0.85, 40),  # too late
        (0.85, 10),
    )
    contacts = [log.new_id() for _ in told]
    for contact, (score, day) in zip(contacts, told, strict=True):
        state: dict[str, Any] = {"company_id": None, "owner_id": ada if day == 5 else None, "source_id": None}
        log.add(ContactCreated(**state), contact, at=BEGINNING)
        log.score(contact, score, at=BEGINNING + days(1), horizon_days=30)
        if day is not None:
            log.deal(pipeline, at=BEGINNING + days(day), contact_id=contact)
    log.add(ContactDeleted(company_id=None, owner_id=None, source_id=None), contacts[1], at=BEGINNING + days(35))
    return {"ada": ada, "contacts": contacts}


_LEADS = Told(_tell_of_leads)


def test_scores_of_leads_are_held_against_the_deals_that_name_them(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, told = ask_built(_LEADS.log), _LEADS.by
    rows = {row["group"]: row for row in asker.answer("lead_calibration", **PERIOD).rows}
    names = ("scored", "settled", "open", "won")
    assert {group: tuple(row[name] for name in names) for group, row in rows.items()} == {
        "tenth_03": (1, 1, 0, 1),  # who was deleted counts nowhere
        "tenth_09": (2, 2, 0, 1),
    }
    page = asker.rows("lead_calibration", "settled", group="tenth_09", **PERIOD)
    assert {item["outcome"] for item in page.items} == {"converted", "not converted"}
    [then] = asker.answer("lead_calibration", **PERIOD, group_by="none", as_of=str((BEGINNING + days(8)).date())).rows
    assert (then["scored"], then["settled"], then["won"]) == (4, 1, 1)
    [mine] = asker.answer("lead_calibration", **PERIOD, group_by="none", owner_ids=[told["ada"]]).rows
    assert (mine["scored"], mine["won"]) == (1, 1)
    [leads] = asker.answer("lead_conversion", **PERIOD).rows
    assert (leads["converted"], leads["waiting"], leads["lead_conversion"]) == (3, 0, 1.0)
    [early] = asker.answer("lead_conversion", **PERIOD, as_of=str((BEGINNING + days(8)).date())).rows
    assert (early["converted"], early["waiting"], early["lead_conversion"]) == (1, 3, 0.25)
