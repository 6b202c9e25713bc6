"""What a refresh does with what is new, late, missing or broken."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest

from contracts.settings import WarehouseSettings
from contracts.warehouse import Mart
from orchestration.build.dbt import DbtError, NodeResult, generate_docs, run_unit_tests
from orchestration.build.parts import build
from tests.dbt_project.reading import Row, all_marts, query
from tests.event_history import BEGINNING, AnyEvent, EventLog, days
from tests.warehouse_builder import build_sales, build_warehouse, load_raw


@pytest.fixture
def log() -> EventLog:
    """An organization in Berlin."""
    log = EventLog()
    log.organization()
    return log


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def test_new_installation_builds_empty_marts_until_events_come(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog, kind: str
) -> None:
    warehouse = built_warehouse(kind)
    assert all_marts(warehouse) == {mart.value: [] for mart in Mart}
    build(warehouse, target_path=target_path, tests=False)
    log.deal(log.pipeline(), at=BEGINNING + days(1))
    build_warehouse(warehouse, log.events, target_path=target_path)
    assert [row["status"] for row in query(warehouse, "select * from fct_deals")] == ["open"]


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def test_unit_tests_of_models_pass(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, kind: str
) -> None:
    passed = [node for node in run_unit_tests(built_warehouse(kind), target_path=target_path) if node.status == "pass"]
    assert len(passed) >= 11


class Delivery(NamedTuple):
    """Events that reach raw with each other, and when its rows say that they did."""

    events: list[AnyEvent]
    loaded_at: datetime


#: What an organization's events are told of: deliveries, and after each was built, what must hold.
Scenario = Callable[[EventLog, Callable[[str], list[Row]]], Iterator[Delivery]]


def _late_events_land_in_the_days_they_belong_to(log: EventLog, ask: Callable[[str], list[Row]]) -> Iterator[Delivery]:
    def on(mart: Mart, column: str, day: str) -> list[int]:
        return [row[column] for row in ask(f"select {column} from {mart.value} where day = date '{day}'")]

    pipeline, now = log.pipeline(), datetime.now(UTC)
    first = log.deal(pipeline, at=BEGINNING + days(1))
    delayed = log.deal(pipeline, at=BEGINNING + days(1), amount_minor=7)
    log.move(first, pipeline.stages[1], at=BEGINNING + days(6))
    waiting = [event for event in log.events if event.aggregate_id == delayed.id]
    yield Delivery([event for event in log.events if event not in waiting], now)
    assert on(Mart.PIPELINE_DAILY, "open_deals", "2026-01-06") == [1]

    # recorded on the 6th, it only came by a slower way: the frozen day knows it
    yield Delivery(waiting, now)
    assert on(Mart.PIPELINE_DAILY, "open_deals", "2026-01-06") == [2]
    assert on(Mart.FUNNEL_DAILY, "first_entries", "2026-01-06") == [2]

    # recorded today, true on the 7th: the funnel moves, the frozen day does not
    log.win(delayed, at=BEGINNING + days(2), recorded=BEGINNING + days(7))
    yield Delivery(log.events[-1:], now)
    assert sum(on(Mart.FUNNEL_DAILY, "won_from", "2026-01-07")) == 1
    assert on(Mart.PIPELINE_DAILY, "open_deals", "2026-01-07") == [2]
    assert on(Mart.PIPELINE_DAILY, "open_deals", "2026-01-11") == [1, 1]


def _rows_stamped_long_before_they_were_committed_are_found(
    log: EventLog, ask: Callable[[str], list[Row]]
) -> Iterator[Delivery]:
    pipeline, now = log.pipeline(), datetime.now(UTC)
    yield Delivery(list(log.events), now)
    log.deal(pipeline, at=BEGINNING + days(1))
    yield Delivery(log.events[-1:], now - timedelta(minutes=4))
    assert len(ask("select deal_id from fct_deals")) == 1


def _another_zone_moves_days_everywhere(log: EventLog, ask: Callable[[str], list[Row]]) -> Iterator[Delivery]:
    now = datetime.now(UTC)
    deal = log.deal(log.pipeline(), at=BEGINNING.replace(hour=23))
    log.win(deal, at=BEGINNING + days(2))
    yield Delivery(list(log.events), now)
    created_on = "select day from team_performance_daily where deals_created > 0"
    assert [row["day"].day for row in ask(created_on)] == [6]
    log.organization(at=BEGINNING + days(3), time_zone="America/New_York")
    yield Delivery(log.events[-1:], now)
    assert [row["day"].day for row in ask(created_on)] == [5]
    assert {row["day"].day for row in ask("select day from funnel_daily")} == {5, 7}


_SCENARIOS: list[Scenario] = [
    _late_events_land_in_the_days_they_belong_to,
    _rows_stamped_long_before_they_were_committed_are_found,
    _another_zone_moves_days_everywhere,
]


def test_scenarios_of_several_deliveries(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path
) -> None:
    # each in an organization of its own of one warehouse, which is built once for all their first deliveries, and so on
    warehouse = built_warehouse("duckdb")

    def ask(organization_id: UUID, statement: str) -> list[Row]:
        word = "and" if " where " in statement else "where"
        return query(warehouse, f"{statement} {word} organization_id = '{organization_id}'")

    logs = [EventLog(organization_id=UUID(int=900 + number)) for number, _ in enumerate(_SCENARIOS)]
    for log in logs:
        log.organization()
    told = [scenario(log, partial(ask, log.organization_id)) for scenario, log in zip(_SCENARIOS, logs, strict=True)]
    while deliveries := [delivery for story in told if (delivery := next(story, None))]:
        for delivery in deliveries:
            load_raw(warehouse, delivery.events, loaded_at=delivery.loaded_at)
        build_sales(warehouse, target_path=target_path)


def test_quiet_days_are_frozen_when_the_next_event_comes(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    pipeline = log.pipeline()
    log.deal(pipeline, at=BEGINNING + days(1))
    build_sales(warehouse, log.events, target_path=target_path)
    log.deal(pipeline, at=BEGINNING + days(4))
    build_sales(warehouse, log.events[-1:], target_path=target_path)
    rows = query(warehouse, "select day, open_deals from pipeline_daily order by day")
    assert [(row["day"].day, row["open_deals"]) for row in rows] == [(6, 1), (7, 1), (8, 1)]


def test_failed_build_names_its_node_and_is_made_up_for(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    pipeline = log.pipeline()
    build_sales(warehouse, log.events, target_path=target_path)
    log.deal(pipeline, at=BEGINNING + days(1))
    load_raw(warehouse, log.events[-1:])
    execute(warehouse, "alter table build.fct_deals rename to hidden")
    execute(warehouse, "create view build.fct_deals as select 1 as nothing")
    heard: list[NodeResult] = []
    with pytest.raises(DbtError) as failure:
        build_sales(warehouse, target_path=target_path, on_node=heard.append)
    assert failure.value.node == "fct_deals"
    assert "fct_deals" in failure.value.failures
    assert {node.name for node in heard if node.status == "error"} == {"fct_deals"}

    execute(warehouse, "drop view build.fct_deals")
    execute(warehouse, "alter table build.hidden rename to fct_deals")
    build_sales(warehouse, target_path=target_path)
    assert len(query(warehouse, "select * from fct_deals")) == 1
    assert query(warehouse, "select * from funnel_daily")


def test_failing_test_leaves_the_batch_to_the_next_build(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    deal = log.deal(log.pipeline(), at=BEGINNING + days(1))
    build_sales(warehouse, log.events, target_path=target_path)
    log.lose(deal, at=BEGINNING + days(2))
    load_raw(warehouse, log.events[-1:])
    execute(warehouse, """update raw.events set data = data || '{"outcome": "odd"}' where type = 'deal.closed'""")
    for _ in range(2):
        with pytest.raises(DbtError) as failure:
            build_sales(warehouse, target_path=target_path)
        assert failure.value.node == "fct_stage_entries_has_sound_rows"
        touched = query(warehouse, "select deal_id from staging.int_touched_deals")
        assert touched == [{"deal_id": deal.id}]
    execute(warehouse, "update staging.stg_deal_events set outcome = 'lost' where outcome = 'odd'")
    build_sales(warehouse, target_path=target_path)
    assert [row["status"] for row in query(warehouse, "select status from fct_deals where known_to is null")] == [
        "lost"
    ]
    made_up = all_marts(warehouse)
    build_sales(warehouse, target_path=target_path)
    assert all_marts(warehouse) == made_up


def test_other_models_than_those_that_built_it_build_it_anew(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    log.deal(log.pipeline(), at=BEGINNING + days(1))
    build_sales(warehouse, log.events, target_path=target_path)
    built = all_marts(warehouse)
    execute(warehouse, "update staging.group_progress set built_from = 'an older one' where group_name = 'sales'")
    execute(warehouse, "alter table build.fct_deals drop column close_date cascade")
    build_sales(warehouse, target_path=target_path)
    assert all_marts(warehouse) == built


@pytest.mark.slow
def test_documentation_is_generated(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    build_warehouse(warehouse, log.events, target_path=target_path)
    assert "fct_stage_entries" in generate_docs(warehouse, target_path=target_path).read_text()


def execute(warehouse: WarehouseSettings, statement: str) -> None:
    """Change a PostgreSQL warehouse behind dbt's back."""
    with psycopg.connect(warehouse.warehouse_url.get_secret_value()) as connection:
        connection.execute(statement)
