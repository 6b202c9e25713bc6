"""What a refresh does with what is new, late, missing or broken."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from contracts.settings import WarehouseSettings
from contracts.warehouse import Mart
from orchestration.build.dbt import DbtError, NodeResult, generate_docs, run_unit_tests
from orchestration.build.parts import build
from tests.dbt_project.reading import Row, all_marts, query
from tests.event_history import BEGINNING, EventLog, days
from tests.warehouse_builder import build_warehouse, load_raw


@pytest.fixture
def log() -> EventLog:
    """An organization in Berlin."""
    log = EventLog()
    log.organization()
    return log


def _on(warehouse: WarehouseSettings, mart: Mart, day: str) -> list[Row]:
    return query(warehouse, f"select * from {mart.value} where day = date '{day}'")


def test_new_installation_builds_empty_marts_until_events_come(
    warehouse: WarehouseSettings, target_path: Path, log: EventLog
) -> None:
    build(warehouse, target_path=target_path)
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


def test_late_events_land_in_the_days_they_belong_to(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    pipeline = log.pipeline()
    first = log.deal(pipeline, at=BEGINNING + days(1))
    delayed = log.deal(pipeline, at=BEGINNING + days(1), amount_minor=7)
    log.move(first, pipeline.stages[1], at=BEGINNING + days(6))
    waiting = [event for event in log.events if event.aggregate_id == delayed.id]
    load_raw(warehouse, [event for event in log.events if event not in waiting])
    build(warehouse, target_path=target_path)
    assert [row["open_deals"] for row in _on(warehouse, Mart.PIPELINE_DAILY, "2026-01-06")] == [1]

    # recorded on the 6th, it only came by a slower way: the frozen day knows it
    build_warehouse(warehouse, waiting, target_path=target_path)
    assert [row["open_deals"] for row in _on(warehouse, Mart.PIPELINE_DAILY, "2026-01-06")] == [2]
    assert [row["first_entries"] for row in _on(warehouse, Mart.FUNNEL_DAILY, "2026-01-06")] == [2]

    # recorded today, true on the 7th: the funnel moves, the frozen day does not
    log.win(delayed, at=BEGINNING + days(2), recorded=BEGINNING + days(7))
    build_warehouse(warehouse, log.events[-1:], target_path=target_path)
    assert sum(row["won_from"] for row in _on(warehouse, Mart.FUNNEL_DAILY, "2026-01-07")) == 1
    assert [row["open_deals"] for row in _on(warehouse, Mart.PIPELINE_DAILY, "2026-01-07")] == [2]
    assert [row["open_deals"] for row in _on(warehouse, Mart.PIPELINE_DAILY, "2026-01-11")] == [1, 1]


def test_quiet_days_are_frozen_when_the_next_event_comes(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    pipeline = log.pipeline()
    log.deal(pipeline, at=BEGINNING + days(1))
    build_warehouse(warehouse, log.events, target_path=target_path)
    log.deal(pipeline, at=BEGINNING + days(4))
    build_warehouse(warehouse, log.events[-1:], target_path=target_path)
    rows = query(warehouse, "select day, open_deals from pipeline_daily order by day")
    assert [(row["day"].day, row["open_deals"]) for row in rows] == [(6, 1), (7, 1), (8, 1)]


def test_rows_stamped_long_before_they_were_committed_are_found(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    pipeline = log.pipeline()
    now = datetime.now(UTC)
    load_raw(warehouse, log.events, loaded_at=now)
    build(warehouse, target_path=target_path)
    log.deal(pipeline, at=BEGINNING + days(1))
    load_raw(warehouse, log.events[-1:], loaded_at=now - timedelta(minutes=4))
    build(warehouse, target_path=target_path)
    assert len(query(warehouse, "from fct_deals")) == 1


def test_another_zone_moves_days_everywhere(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("duckdb")
    deal = log.deal(log.pipeline(), at=BEGINNING.replace(hour=23))
    log.win(deal, at=BEGINNING + days(2))
    build_warehouse(warehouse, log.events, target_path=target_path)
    created_on = "select day from team_performance_daily where deals_created > 0"
    assert [row["day"].day for row in query(warehouse, created_on)] == [6]
    log.organization(at=BEGINNING + days(3), time_zone="America/New_York")
    build_warehouse(warehouse, log.events[-1:], target_path=target_path)
    assert [row["day"].day for row in query(warehouse, created_on)] == [5]
    assert {row["day"].day for row in query(warehouse, "from funnel_daily")} == {5, 7}


def test_failed_build_names_its_node_and_is_made_up_for(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    pipeline = log.pipeline()
    build_warehouse(warehouse, log.events, target_path=target_path)
    log.deal(pipeline, at=BEGINNING + days(1))
    load_raw(warehouse, log.events[-1:])
    execute(warehouse, "alter table build.fct_deals rename to hidden")
    execute(warehouse, "create view build.fct_deals as select 1 as nothing")
    heard: list[NodeResult] = []
    with pytest.raises(DbtError) as failure:
        build(warehouse, target_path=target_path, on_node=heard.append)
    assert failure.value.node == "fct_deals"
    assert "fct_deals" in failure.value.failures
    assert {node.name for node in heard if node.status == "error"} == {"fct_deals"}

    execute(warehouse, "drop view build.fct_deals")
    execute(warehouse, "alter table build.hidden rename to fct_deals")
    build(warehouse, target_path=target_path)
    assert len(query(warehouse, "select * from fct_deals")) == 1
    assert query(warehouse, "select * from funnel_daily")


def test_failing_test_leaves_the_batch_to_the_next_build(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    deal = log.deal(log.pipeline(), at=BEGINNING + days(1))
    build_warehouse(warehouse, log.events, target_path=target_path)
    log.lose(deal, at=BEGINNING + days(2))
    load_raw(warehouse, log.events[-1:])
    execute(warehouse, """update raw.events set data = data || '{"outcome": "odd"}' where type = 'deal.closed'""")
    for _ in range(2):
        with pytest.raises(DbtError) as failure:
            build(warehouse, target_path=target_path)
        assert failure.value.node == "fct_stage_entries_has_sound_rows"
        touched = query(warehouse, "select deal_id from staging.int_touched_deals")
        assert touched == [{"deal_id": deal.id}]
    execute(warehouse, "update staging.stg_deal_events set outcome = 'lost' where outcome = 'odd'")
    build(warehouse, target_path=target_path)
    assert [row["status"] for row in query(warehouse, "select status from fct_deals where known_to is null")] == [
        "lost"
    ]
    made_up = all_marts(warehouse)
    build(warehouse, target_path=target_path)
    assert all_marts(warehouse) == made_up


def test_other_models_than_those_that_built_it_build_it_anew(
    built_warehouse: Callable[[str], WarehouseSettings], target_path: Path, log: EventLog
) -> None:
    warehouse = built_warehouse("postgres")
    log.deal(log.pipeline(), at=BEGINNING + days(1))
    build_warehouse(warehouse, log.events, target_path=target_path)
    built = all_marts(warehouse)
    execute(warehouse, "update staging.group_progress set built_from = 'an older one' where group_name = 'sales'")
    execute(warehouse, "alter table build.fct_deals drop column close_date cascade")
    build(warehouse, target_path=target_path)
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
