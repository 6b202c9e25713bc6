"""Goals, exit paths and the time between stages: by hand and against an independent estimate, on both warehouses."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from metrics.errors import ParameterError
from tests.event_history import BEGINNING, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

STAGES = (("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}


@pytest.fixture
def ask(ask_either: Ask) -> Ask:
    return ask_either


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


class TestAttainment:
    def test_holds_what_was_won_against_goals_of_people_teams_and_all(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        ada, bob, team = log.user(), log.user(), log.team()
        log.join(team, ada, at=BEGINNING)
        log.set_rates(date(2026, 1, 1), {"USD": "2"}, at=BEGINNING)
        log.set_goal(20_000, "USD", starts_on=date(2026, 1, 1), months=1, user_id=ada, at=BEGINNING)
        march = log.set_goal(1_000, "EUR", starts_on=date(2026, 3, 1), months=1, user_id=ada, at=BEGINNING)
        log.set_goal(3, None, starts_on=date(2026, 1, 1), months=3, user_id=ada, at=BEGINNING)
        log.set_goal(5_000, "EUR", starts_on=date(2026, 1, 1), months=3, team_id=team, at=BEGINNING)
        log.set_goal(40_000, "EUR", starts_on=date(2026, 1, 1), months=3, at=BEGINNING)
        # reaches out of the period, or has no rate
        log.set_goal(9, "EUR", starts_on=date(2026, 3, 1), months=3, user_id=bob, at=BEGINNING)
        log.set_goal(9, "CHF", starts_on=date(2026, 2, 1), months=1, user_id=bob, at=BEGINNING)
        for owner, amount in ((ada, 8_000), (ada, 250), (bob, 500)):
            log.win(log.deal(pipeline, at=BEGINNING, owner_id=owner, amount_minor=amount), at=BEGINNING + days(3))
        asker, half = ask(log), datetime(2026, 2, 14, 23, tzinfo=UTC).isoformat()
        by_owner = {
            row["group"]: row for row in asker.answer("attainment", **PERIOD, group_by="owner", as_of=half).rows
        }
        assert by_owner[str(ada)] == {
            "group": str(ada),
            "deals_won": 2,
            "won_amount_minor": 8_250,
            "currency": "EUR",
            "goal_minor": 11_000,
            "attainment": 0.75,
            "deals_goal": 3,
            "deals_attainment": pytest.approx(2 / 3),
            "elapsed": pytest.approx(0.5, abs=0.001),
            "pace": pytest.approx(1.5, abs=0.001),
            "goals_without_rate": 0,
        }
        assert (by_owner[str(bob)]["attainment"], by_owner[str(bob)]["goals_without_rate"]) == (None, 1)
        (of_team, _) = asker.answer("attainment", **PERIOD, group_by="team").rows
        assert (of_team["group"], of_team["attainment"]) == (str(team), 1.65)
        (of_all,) = asker.answer("attainment", **PERIOD).rows
        assert (of_all["goal_minor"], of_all["won_amount_minor"], of_all["attainment"]) == (40_000, 8_750, 0.21875)
        # whoever sees only their own records sees their own goals
        mine = asker.answer("attainment", **PERIOD, group_by="owner", owner_ids=[ada]).rows
        assert [row["group"] for row in mine] == [str(ada)]
        assert asker.answer("attainment", **PERIOD, owner_ids=[ada]).rows[0]["goal_minor"] is None
        # a goal that goes is known still to what was asked before
        log.drop_goal(march, at=BEGINNING + days(50))
        later = ask(log)
        then = later.answer("attainment", **PERIOD, group_by="owner", as_of=half).rows
        assert {row["group"]: row["goal_minor"] for row in then}[str(ada)] == 11_000
        now = {row["group"]: row["goal_minor"] for row in later.answer("attainment", **PERIOD, group_by="owner").rows}
        assert now[str(ada)] == 10_000


class TestExitPaths:
    def test_says_where_deals_went_how_many_and_after_how_long(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        new, talk, offer, _, lost = pipeline.stages
        back = log.deal(pipeline, at=BEGINNING, amount_minor=10)
        for day, stage in ((1, talk), (3, new), (4, talk), (9, offer)):
            log.move(back, stage, at=BEGINNING + days(day))
        log.win(back, at=BEGINNING + days(10))
        gone = log.deal(pipeline, at=BEGINNING, amount_minor=5)
        log.move(gone, talk, at=BEGINNING + days(2))
        log.lose(gone, at=BEGINNING + days(8))
        log.deal(pipeline, at=BEGINNING)
        asker = ask(log)
        found = [
            (_name(row["stage_id"], pipeline), _name(row["group"], pipeline), row["exits"],
             row["share_of_exits"], row["exit_amount_minor"], row["median_days"])
            for row in asker.answer("exit_paths", pipeline_id=pipeline.id, **PERIOD).rows
        ]  # fmt: skip
        assert found == [
            ("New", "Talk", 2, 1.0, 15, 1.5),  # the second leaving after one day, the other's after two
            ("Talk", "New", 1, pytest.approx(1 / 3), 10, 2.0),
            ("Talk", "Offer", 1, pytest.approx(1 / 3), 10, 5.0),
            ("Talk", "Lost", 1, pytest.approx(1 / 3), 5, 6.0),
            ("Offer", "Won", 1, 1.0, 10, 1.0),
        ]
        page = asker.rows(
            "exit_paths", "exits", pipeline_id=pipeline.id, stage_id=talk.id, group=str(lost.id), **PERIOD
        )
        assert [item["deal_id"] for item in page.items] == [str(gone.id)]
        # what left to two stages is there twice, on one page however short
        listed, after, whole = list[str](), None, {"pipeline_id": pipeline.id, "group_by": "none", **PERIOD}
        while after is not None or not listed:
            page = asker.rows("exit_paths", "exits", stage_id=talk.id, limit=1, after=after, **whole)
            listed += [item["deal_id"] for item in page.items]
            after = page.last_id if page.has_more else None
        assert sorted(listed) == sorted([str(back.id), str(back.id), str(gone.id)])
        assert page.count == 3

    def test_says_how_long_the_visits_had_lasted_band_by_band(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        new, talk, *_ = pipeline.stages
        for stay in (0.5, 1, 2.5, 6.9, 7, 400):
            log.move(log.deal(pipeline, at=BEGINNING), talk, at=BEGINNING + days(stay))
        log.deal(pipeline, at=BEGINNING)  # has not left
        asker = ask(log)
        asked: dict[str, Any] = {"pipeline_id": pipeline.id, "group_by": "days", **PERIOD}
        rows = asker.answer("exit_paths", **asked | {"end": "2028-01-01"}).rows
        assert [(row["group"], row["exits"]) for row in rows if row["stage_id"] == str(new.id)] == [
            ("0-1", 1), ("1-2", 1), ("2-3", 1), ("3-7", 1), ("7-14", 1), ("365-", 1),
        ]  # fmt: skip
        page = asker.rows("exit_paths", "exits", stage_id=new.id, group="3-7", **asked)
        assert [item["days"] for item in page.items] == [6.9]
        (whole,) = asker.answer("exit_paths", **asked | {"group_by": "none"}).rows
        assert (whole["exits"], whole["median_days"], whole["p90_days"]) == (5, 2.5, pytest.approx(6.96))


def _name(stage_id: str, pipeline: Pipeline) -> str:
    return next(stage.name for stage in pipeline.stages if str(stage.id) == stage_id)


class TestTimeBetween:
    def test_equals_an_independent_estimate(self, log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
        random, (_, talk, offer, _, _) = Random(3), pipeline.stages
        as_of = BEGINNING + days(70)
        spans: list[tuple[float, bool]] = []
        for number in range(60):
            begins = BEGINNING + timedelta(hours=random.randrange(24 * 60))
            deal = log.deal(pipeline, at=begins - days(1))
            log.move(deal, talk, at=begins)
            took = random.expovariate(1 / 20)
            arrives = begins + days(took)
            if arrives < as_of:
                log.move(deal, offer, at=arrives)
                spans.append((took, True))
                if number % 4 == 0:  # what comes after the arrival changes nothing
                    log.lose(deal, at=arrives + days(0.1))
            else:
                if number % 3 == 0:  # nor does a loss before
                    log.lose(deal, at=begins + days(0.5))
                spans.append(((as_of - begins) / timedelta(days=1), False))
        asker = ask(log)
        given: dict[str, Any] = {"pipeline_id": pipeline.id, "from_stage": talk.id, "to_stage": offer.id, **PERIOD}
        (row,) = asker.answer("time_between", **given, as_of=as_of.isoformat()).rows
        took_days = [took for took, has_arrived in spans if has_arrived]
        assert (row["begun"], row["arrived"], row["on_the_way"]) == (60, len(took_days), 60 - len(took_days))
        assert row["on_the_way"] > 5
        assert row["median_days"] == pytest.approx(np.median(took_days), abs=1e-6)
        assert row["p90_days"] == pytest.approx(np.quantile(took_days, 0.9), abs=1e-6)
        expected = _kaplan_meier(spans)
        assert [point["day"] for point in row["curve"]] == [day for day, *_ in expected]
        for point, (_, at_risk, share, low, high) in zip(row["curve"], expected, strict=True):
            assert (point["at_risk"], point["share"]) == (at_risk, pytest.approx(share))
            assert (point["low"], point["high"]) == (pytest.approx(low), pytest.approx(high))
        reached = [day for day, _, share, *_ in expected if share >= 0.5]
        assert row["estimated_median_days"] == (reached[0] + 1 if reached else None)
        page = asker.rows("time_between", "on_the_way", **given, as_of=as_of.isoformat())
        assert page.count == row["on_the_way"]

    def test_says_how_many_took_how_long_and_estimates_nothing_within_a_band(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        _, talk, *_ = pipeline.stages
        for took in (0.2, 5, 6, 40):
            log.move(log.deal(pipeline, at=BEGINNING), talk, at=BEGINNING + days(took))
        log.deal(pipeline, at=BEGINNING)
        asker = ask(log)
        asked: dict[str, Any] = {"pipeline_id": pipeline.id, "to_stage": talk.id, "group_by": "days", **PERIOD}
        as_of = (BEGINNING + days(45)).isoformat()
        rows = asker.answer("time_between", **asked, as_of=as_of).rows
        assert [(row["group"], row["arrived"], row["on_the_way"]) for row in rows] == [
            ("0-1", 1, 0), ("3-7", 2, 0), ("30-60", 1, 1),
        ]  # fmt: skip
        assert {(row["estimated_median_days"], len(row["curve"])) for row in rows} == {(None, 0)}
        page = asker.rows("time_between", "arrived", group="3-7", as_of=as_of, **asked)
        assert sorted(item["days"] for item in page.items) == [5.0, 6.0]

    def test_asks_by_default_from_the_beginning_to_any_won_stage(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        deal = log.deal(pipeline, at=BEGINNING)
        log.win(deal, at=BEGINNING + days(4))
        log.deal(pipeline, at=BEGINNING)
        (row,) = ask(log).answer("time_between", pipeline_id=pipeline.id, **PERIOD).rows
        assert (row["begun"], row["arrived"], row["median_days"], row["estimated_median_days"]) == (2, 1, 4.0, 5)
        with pytest.raises(ParameterError, match="to_stage: there is no such stage"):
            ask(log).answer("time_between", pipeline_id=pipeline.id, to_stage=log.organization_id, **PERIOD)


def _kaplan_meier(spans: list[tuple[float, bool]]) -> list[tuple[int, int, float, float, float]]:
    """As textbooks have it, by numpy: per day with an arrival who was at risk, the share arrived, and its bounds."""
    took = np.floor([span for span, _ in spans])
    events = np.array([has_arrived for _, has_arrived in spans])
    found = []
    for day in np.unique(took[events]):
        times = np.unique(took[events & (took <= day)])
        at_risk = np.array([(took >= time).sum() for time in times])
        arrived = np.array([((took == time) & events).sum() for time in times])
        survival = np.prod(1 - arrived / at_risk)
        greenwood: float = np.sum(arrived / (at_risk * (at_risk - arrived)))
        error = np.sqrt(greenwood / np.log(survival) ** 2)
        low, high = (1 - survival ** np.exp(sign * 1.959963984540054 * error) for sign in (-1, 1))
        found.append((int(day), int(at_risk[-1]), float(1 - survival), float(low), float(high)))
    return found


def test_a_period_is_split_into_no_more_pieces_than_an_answer_may_have(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    log.deal(pipeline, at=BEGINNING)
    asked: dict[str, Any] = {"start": "1990-01-01", "end": "2100-01-01"}
    with pytest.raises(ParameterError, match="group_by: the period has more than 1,200 of these"):
        ask(log).answer("deals_created", **asked, group_by="week")
    assert [row["group"] for row in ask(log).answer("deals_created", **asked, group_by="quarter").rows] == ["2026-Q1"]


class TestForecastAccuracy:
    def test_more_weeks_than_anybody_reads_are_refused(self, log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
        log.deal(pipeline, at=BEGINNING)
        with pytest.raises(ParameterError, match="from: the period has more than 105 weekly forecasts"):
            ask(log).answer("forecast_accuracy", start="2000-01-01", end="2026-06-01")
        rows = ask(log).answer("forecast_accuracy", start="2026-01-01", end="2100-01-01", as_of="2026-02-01").rows
        assert len(rows) == 5  # no further than as_of

    def test_golden_6_a_forecast_stays_as_it_was_issued_and_is_scored_later(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        due = date(2026, 2, 20)
        for number in range(6):
            deal = log.deal(pipeline, at=BEGINNING, amount_minor=900, close_date=due)
            if number < 3:
                (log.win if number else log.lose)(deal, at=BEGINNING + days(5))
        asked: dict[str, Any] = {"start": "2026-01-12", "end": "2026-03-01"}
        won = log.deal(pipeline, at=BEGINNING + days(1), amount_minor=300, close_date=due)
        log.win(won, at=BEGINNING + days(20))
        before = ask(log).answer("forecast_accuracy", **asked).rows
        # what is learned later, or corrected, is in no issue of before
        log.set_amount(won, 5_000, at=BEGINNING + days(2), recorded=BEGINNING + days(60))
        asker = ask(log)
        rows = asker.answer("forecast_accuracy", **asked).rows
        assert [row["issued_at"] for row in rows] == [
            f"{day}T23:00:00Z"
            for day in (
                "2026-01-11",
                "2026-01-18",
                "2026-01-25",
                "2026-02-01",
                "2026-02-08",
                "2026-02-15",
                "2026-02-22",
            )
        ]
        frozen = ("issued_at", "committed_minor", "forecast_minor", "best_case_minor")
        assert [[row[name] for name in frozen] for row in rows[: len(before)]] == [
            [row[name] for name in frozen] for row in before
        ]
        # three open deals of 900 and one of 300, of which two thirds are won
        assert (rows[0]["committed_minor"], rows[0]["forecast_minor"], rows[0]["best_case_minor"]) == (0, 2_000, 3_000)
        assert {(row["booked_amount_minor"], row["is_settled"]) for row in rows} == {(5_000, True)}
        assert {(row["booked_amount_minor"], row["is_settled"]) for row in before} == {(300, False)}
        assert (rows[0]["error_minor"], rows[0]["error_share"]) == (-3_000, -0.6)
        for row in rows:
            (then,) = asker.answer("forecast", **asked, as_of=row["issued_at"]).rows
            assert then["forecast_minor"] == row["forecast_minor"]

    def test_is_told_of_each_owner_who_had_the_deals_then_and_adds_up(
        self, log: EventLog, pipeline: Pipeline, ask: Ask
    ) -> None:
        ada, bob, due = log.user(), log.user(), date(2026, 2, 20)
        for number in range(4):  # half of what visits the first stage is won
            past = log.deal(pipeline, at=BEGINNING, owner_id=ada)
            (log.win if number % 2 else log.lose)(past, at=BEGINNING + days(3))
        handed = log.deal(pipeline, at=BEGINNING, owner_id=ada, amount_minor=1_000, close_date=due)
        own = log.deal(pipeline, at=BEGINNING, owner_id=bob, amount_minor=400, close_date=due)
        log.set_owner(handed, bob, at=BEGINNING + days(15))
        log.win(handed, at=BEGINNING + days(20))
        log.lose(own, at=BEGINNING + days(21))
        asked: dict[str, Any] = {"start": "2026-01-12", "end": "2026-02-28"}
        asker = ask(log)
        rows = asker.answer("forecast_accuracy", **asked, group_by="owner").rows
        first = {row["group"]: row for row in rows if row["issued_at"] == rows[0]["issued_at"]}
        assert {group: (row["forecast_minor"], row["booked_amount_minor"]) for group, row in first.items()} == {
            str(ada): (500, 0),
            str(bob): (200, 1_000),
        }
        assert first[str(ada)]["error_share"] is None
        for whole in asker.answer("forecast_accuracy", **asked).rows:
            parts = [row for row in rows if row["issued_at"] == whole["issued_at"]]
            for figure in ("committed_minor", "forecast_minor", "best_case_minor", "booked_amount_minor"):
                assert sum(row[figure] for row in parts) == whole[figure], figure
