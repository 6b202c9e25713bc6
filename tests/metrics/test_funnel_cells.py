"""Every cell of the funnel, over random histories and all policies: equal to a count by hand, and to its own rows."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.stages import Outcome, StageKind
from metrics import funnel
from metrics.cells import Cells, compile_cells
from metrics.compile import Statement
from metrics.parameters import read
from metrics.postgres_reader import PostgresReader
from metrics.question import ask
from metrics.registry import definition_of
from tests.conftest import Database
from tests.event_history import Deal, EventLog, Pipeline, days
from tests.metrics.conftest import Asker, MemoryReader
from tests.metrics.marts import publish_postgres
from tests.metrics.oracle import Asked, Counted, Membership, count, histories, percentile

STAGES = (("A", "open"), ("B", "open"), ("C", "open"), ("Won", "won"), ("Paid", "won"), ("Lost", "lost"))
ZONE = ZoneInfo("America/New_York")
# the clock goes forward on 8 March 2026, inside the period
START = datetime(2026, 3, 1, tzinfo=UTC)
REASONS = (UUID(int=71), UUID(int=72), None)
SOURCES = (UUID(int=81), None)
RENAMED = {"start": "from", "end": "to"}
MEASURES = ("entered", "visited", "still_here", "lost", "won", "moved_back")


class World:
    """A log with a pipeline, two owners in two teams, one of whom changes the team."""

    def __init__(self) -> None:
        self.log = EventLog()
        self.log.organization(time_zone=ZONE.key)
        self.pipeline = self.log.pipeline(stages=STAGES)
        teams = [self.log.team(), self.log.team()]
        ada, bob = self.log.user(), self.log.user()
        self.owners = [ada, bob, None]
        since, until = START - days(30), START + days(6)
        self.log.join(teams[0], ada, at=since)
        self.log.join(teams[1], bob, at=since)
        self.log.leave(teams[0], ada, at=until)
        self.log.join(teams[1], ada, at=until)
        self.memberships = [
            Membership(ada, teams[0], since, until),
            Membership(ada, teams[1], until, None),
            Membership(bob, teams[1], since, None),
        ]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    log, pipeline = world.log, world.pipeline
    for _ in range(draw(st.integers(1, 7))):
        at = START + timedelta(hours=draw(st.integers(0, 15 * 24)))
        deal = log.deal(
            pipeline,
            at=at,
            stage=draw(st.sampled_from(pipeline.stages[:3])),
            owner_id=draw(st.sampled_from(world.owners)),
            source_id=draw(st.sampled_from(SOURCES)),
            amount_minor=draw(st.sampled_from([None, 0, 1_00, 7_77])),
            currency=draw(st.sampled_from(["EUR", "EUR", "USD"])),
        )
        recorded = at
        for _ in range(draw(st.integers(0, 6))):
            recorded += timedelta(hours=draw(st.integers(1, 5 * 24)))
            occurred = recorded - timedelta(hours=draw(st.sampled_from([0, 0, 0, 3, 40])))
            _act(draw, world, deal, occurred=max(occurred, at), recorded=recorded)
    return world


def _act(draw: st.DrawFn, world: World, deal: Deal, *, occurred: datetime, recorded: datetime) -> None:
    log, stages = world.log, world.pipeline.stages
    clocks: dict[str, Any] = {"at": occurred, "recorded": recorded}
    action = draw(st.sampled_from(["move", "move", "move", "close", "owner", "amount", "delete"]))
    if action == "owner":
        log.set_owner(deal, draw(st.sampled_from(world.owners)), **clocks)
    elif action == "amount":
        log.set_amount(deal, draw(st.sampled_from([5_00, None])), **clocks)
    elif deal.stage.kind is not StageKind.OPEN and action == "close":  # it moves on, which is told as another closing
        outcome = Outcome(deal.stage.kind)
        reason = draw(st.sampled_from(REASONS)) if outcome is Outcome.LOST else None
        stage = draw(st.sampled_from(world.pipeline.of_kind(deal.stage.kind)))
        log.close(deal, outcome, stage=stage, at=recorded, lost_reason_id=reason)
    elif deal.stage.kind is not StageKind.OPEN:
        log.reopen(deal, draw(st.sampled_from(stages[:3])), at=recorded)
    elif action == "move":
        log.move(deal, draw(st.sampled_from([stage for stage in stages[:3] if stage.id != deal.stage.id])), **clocks)
    elif action == "close":
        outcome = draw(st.sampled_from(list(Outcome)))
        reason = draw(st.sampled_from(REASONS)) if outcome is Outcome.LOST else None
        log.close(deal, outcome, at=recorded, lost_reason_id=reason)
    elif draw(st.integers(0, 4)) == 0:
        log.delete(deal, at=recorded)


@st.composite
def questions(draw: st.DrawFn, world: World) -> tuple[dict[str, Any], Asked, datetime]:
    entered = f"entered:{draw(st.sampled_from(world.pipeline.stages)).id}"
    first, length = date(2026, 2, 27) + timedelta(days=draw(st.integers(0, 5))), draw(st.integers(1, 20))
    last = first + timedelta(days=length)
    as_of = START + timedelta(hours=draw(st.integers(0, 40 * 24)))
    values: dict[str, Any] = {
        "cohort": draw(st.sampled_from(["created", "created", entered, "closed"])),
        "order": draw(st.sampled_from(["reached", "visited", "strict"])),
        "regress": draw(st.sampled_from(["furthest", "current"])),
        "window_days": draw(st.sampled_from([None, None, 1, 4])),
        "group_by": draw(st.sampled_from(["none", "owner", "team", "source", "month"])),
    }
    asked = Asked(
        starts_at=datetime(first.year, first.month, first.day, tzinfo=ZONE),
        ends_at=datetime(last.year, last.month, last.day, tzinfo=ZONE),
        zone=ZONE,
        **values,
    )
    given = {name: value for name, value in values.items() if value is not None}
    unit = draw(st.sampled_from(["deals", "amount"]))
    given |= {"pipeline_id": world.pipeline.id, "start": first, "end": last, "unit": unit, "as_of": as_of.isoformat()}
    return given, asked, as_of


def _expected(counted: list[Counted], measure: str, stage_id: UUID, group: str | None, unit: str) -> tuple[int, int]:
    """(figure, number of deals)"""
    behind = [each for each in counted if each.group == group and stage_id in each.stages[measure]]
    return (len(behind) if unit == "deals" else _amount(behind)), len(behind)


def _amount(behind: list[Counted]) -> int:
    return sum(each.amount_minor or 0 for each in behind if each.currency == "EUR")


def _check(asker: Asker, pipeline: Pipeline, given: dict[str, Any], counted: list[Counted], *, rows: bool) -> None:
    answer = asker.answer("funnel", **given)
    assert {row["group"] for row in answer.rows} == ({each.group for each in counted} or {None})
    for row in answer.rows:
        stage_id, group = UUID(row["stage_id"]), row["group"]
        for measure in MEASURES:
            figure, deals = _expected(counted, measure, stage_id, group, given["unit"])
            if measure != "visited":
                assert row[measure] == figure, (measure, given)
            if rows and (deals or measure == "entered"):
                _check_rows(asker, given, measure, stage_id, group, figure, deals, behind=counted)
        mine = [each for each in counted if each.group == group]
        spent = [each.days[stage_id] for each in mine if stage_id in each.days]
        assert row["median_days"] == pytest.approx(percentile(spent, 0.5))
        assert row["p90_days"] == pytest.approx(percentile(spent, 0.9))
        size = len(mine) if given["unit"] == "deals" else _amount(mine)
        assert row["share_of_cohort"] == (row["entered"] / size if size else None)
        assert row["cohort"] == size
        if given["unit"] == "deals":
            lost = [each for each in mine if stage_id in each.stages["lost"] and each.lost_reason_id]
            assert row["lost_reasons"] == Counter(str(each.lost_reason_id) for each in lost)
    for total in answer.totals:
        mine = [each for each in counted if each.group == total["group"]]
        assert total["cohort"] == (len(mine) if given["unit"] == "deals" else _amount(mine))
        assert total["cohort"] == total["still_here"] + total["lost"] + total["won"]
        for name in ("still_here", "lost", "won"):
            assert total[name] == sum(row[name] for row in answer.rows if row["group"] == total["group"])
    assert [row["stage_id"] for row in answer.rows[: len(pipeline.stages)]] == [
        str(stage.id) for stage in pipeline.stages
    ]


def _check_rows(
    asker: Asker,
    given: dict[str, Any],
    measure: str,
    stage_id: UUID,
    group: str | None,
    figure: int,
    deals: int,
    *,
    behind: list[Counted],
) -> None:
    address: dict[str, Any] = {} if given["group_by"] == "none" else {"group": group or "none"}
    page = asker.rows("funnel", measure, stage_id=stage_id, **address, **given)
    assert page.count == len(page.items) == deals
    assert sum(item["value"] or 0 for item in page.items) == figure
    if given["unit"] == "amount":
        assert page.amount_minor == figure
    expected = {
        str(each.history.deal_id) for each in behind if each.group == group and stage_id in each.stages[measure]
    }
    assert {item["deal_id"] for item in page.items} == expected


def _check_journeys(asker: Asker, given: dict[str, Any]) -> None:
    """What is kept of each deal's journey counts the same as its entries do."""
    definition = definition_of("funnel")
    parameters = read(definition, {RENAMED.get(name, name): str(value) for name, value in given.items()})
    percentiles = definition.percentiles
    with asker.reader.session() as session:
        question = ask(session, definition, parameters, viewer=asker.viewer(), now=asker.now)
        by_entries, by_journeys = (Statement(session.dialect, asker.organization_id) for _ in range(2))
        funnel.build_by_entries(by_entries, question)
        counted = Cells(session.fetch(compile_cells(by_entries, percentiles)), percentiles)
        found = Cells(session.fetch(funnel.compile_figures(by_journeys, question)), percentiles)
    assert vars(found) == vars(counted), given


def _counted(world: World, asked: Asked, as_of: datetime) -> list[Counted]:
    found = histories(world.log.events, world.pipeline, as_of=as_of)
    # team memberships are known from the instant at which they were recorded, which is when they happened
    return count(found, world.pipeline, asked, memberships=_known(world.memberships, as_of))


def _known(memberships: list[Membership], as_of: datetime) -> list[Membership]:
    return [
        Membership(m.user_id, m.team_id, m.since, m.until if m.until and m.until <= as_of else None)
        for m in memberships
        if m.since <= as_of
    ]


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_cell_equals_a_count_by_hand_and_its_own_rows(data: st.DataObject) -> None:
    world = data.draw(worlds())
    asker = Asker(MemoryReader(world.log.events), world.log.organization_id)
    for number in range(4):
        given, asked, as_of = data.draw(questions(world))
        _check(asker, world.pipeline, given, _counted(world, asked, as_of), rows=number == 0)
        _check_journeys(asker, given)
    asker.reader.close()


def test_postgres_gives_the_same_cells(database: Database) -> None:
    reader = PostgresReader(database.admin_url)

    @settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        world = data.draw(worlds())
        publish_postgres(database.admin_url, world.log.events, at=datetime.now(UTC))
        there = Asker(reader, world.log.organization_id)
        here = Asker(MemoryReader(world.log.events), world.log.organization_id)
        for number in range(3):
            given, asked, as_of = data.draw(questions(world))
            _check(there, world.pipeline, given, _counted(world, asked, as_of), rows=number == 0)
            _check_journeys(there, given)
            one, other = there.answer("funnel", **given), here.answer("funnel", **given)
            assert (one.rows, one.notes, one.labels) == (other.rows, other.notes, other.labels)
            for metric in ("win_rate", "days_in_stage", "step_conversion", "pipeline_value", "team_performance"):
                assert there.answer(metric, pipeline_id=world.pipeline.id, as_of=given["as_of"]).rows == (
                    here.answer(metric, pipeline_id=world.pipeline.id, as_of=given["as_of"]).rows
                )
        here.reader.close()

    try:
        check()
    finally:
        reader.close()


def test_both_engines_interpolate_to_the_same_digit(database: Database) -> None:
    world = World()
    first, second = world.pipeline.stages[:2]
    for hours in (1, 3):  # between these days PostgreSQL finds 0.08333333333333334, DuckDB 0.08333333333333333
        deal = world.log.deal(world.pipeline, at=START, stage=first)
        world.log.move(deal, second, at=START + timedelta(hours=hours))
    publish_postgres(database.admin_url, world.log.events, at=datetime.now(UTC))
    readers = (PostgresReader(database.admin_url), MemoryReader(world.log.events))
    asked: dict[str, Any] = {
        "pipeline_id": world.pipeline.id,
        "start": START.date() - timedelta(days=1),
        "end": START.date(),
    }
    rows = [Asker(reader, world.log.organization_id).answer("funnel", **asked).rows for reader in readers]
    for reader in readers:
        reader.close()
    assert rows[0] == rows[1]
    assert (rows[0][0]["median_days"], rows[0][0]["p90_days"]) == (2 / 24, 7 / 60)
