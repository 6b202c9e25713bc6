"""A day's events in PostgreSQL and in raw: the same, by number and by their ids; days are partitions of one asset."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from contracts.settings import WarehouseSettings
from orchestration.daily import compare_day
from orchestration.defs.daily import COMPLETE, events_by_day
from orchestration.warehouse import Warehouse
from tests.conftest import Database
from tests.event_history import EventLog
from tests.warehouse_builder import duckdb_warehouse, load_raw, postgres_warehouse

DAY = date(2026, 3, 2)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseSettings:
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    return postgres_warehouse(request.getfixturevalue("warehouse_database"))


@pytest.fixture
def log(database: Database) -> EventLog:
    """Events of two days, in PostgreSQL."""
    log = EventLog()
    for day in (0, 1):
        log.organization(at=datetime(2026, 3, 2, 12, tzinfo=UTC) + timedelta(days=day))
    with psycopg.connect(database.admin_url) as admin:
        for number, event in enumerate(log.events):
            admin.execute(
                "insert into event_log (event_id, type, version, organization_id, aggregate_type, aggregate_id,"
                " aggregate_version, occurred_at, recorded_at, actor, correlation_id, depth, data)"
                " values (%s, %s, 1, %s, %s, %s, %s, %s, %s, 'system', %s, 0, '{}')",
                (
                    event.id, event.type, event.organization_id, event.aggregate_type, event.aggregate_id, number + 1,
                    event.occurred_at, event.recorded_at, event.id,
                ),
            )  # fmt: skip
    return log


def test_a_day_agrees_until_an_event_lacks_or_is_another(
    warehouse: WarehouseSettings, log: EventLog, database: Database
) -> None:
    url = warehouse.warehouse_url.get_secret_value()
    load_raw(warehouse, log.events[:1])
    load_raw(warehouse, log.events[:1])  # twice, as may happen
    assert compare_day(database.relay_url, url, DAY).differences == []
    [missing] = compare_day(database.relay_url, url, DAY + timedelta(days=1)).differences
    assert missing == "organization.updated: 1 recorded, 0 in raw"
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("set session_replication_role = replica")
        admin.execute("update event_log set event_id = gen_random_uuid() where recorded_at < '2026-03-03'")
    assert compare_day(database.relay_url, url, DAY).differences == ["organization.created: 1 recorded, 1 in raw"]


def test_a_day_is_a_partition_whose_check_says_what_differs(tmp_path: Path, log: EventLog, database: Database) -> None:
    settings = duckdb_warehouse(tmp_path)
    load_raw(settings, log.events[:1])
    warehouse = Warehouse(settings=settings, dbt_target_path=tmp_path, event_log_url=database.relay_url)
    definitions = dg.Definitions(assets=[events_by_day], resources={"warehouse": warehouse})
    job = definitions.resolve_implicit_global_asset_job_def()
    said = {}
    with dg.DagsterInstance.ephemeral() as instance:
        for day in ("2026-03-02", "2026-03-03"):
            [check] = job.execute_in_process(instance=instance, partition_key=day).get_asset_check_evaluations()
            said[day] = (check.check_name, check.passed, check.description)
    assert said == {
        "2026-03-02": (COMPLETE, True, "1 events, each of them in raw."),
        "2026-03-03": (COMPLETE, False, "organization.updated: 1 recorded, 0 in raw"),
    }
