from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from contracts.settings import WarehouseSettings
from metrics.status import CheckState
from orchestration.build.database import build_path
from orchestration.build.dbt import load_project, read_source_freshness
from orchestration.build.equality import compare_with_full_refresh
from orchestration.build.raw_quality import RawCheck, judge_raw
from orchestration.definitions import build_defs
from tests.conftest import Database
from tests.event_history import EventLog
from tests.orchestration.conftest import Installation
from tests.warehouse_builder import duckdb_warehouse, load_raw, postgres_warehouse

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseSettings:
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    return postgres_warehouse(request.getfixturevalue("warehouse_database"))


class TestRawChecks:
    def test_a_lost_event_and_a_wrong_clock_are_found(self, warehouse: WarehouseSettings) -> None:
        log = EventLog()
        log.organization(at=START)
        log.organization(at=START)
        log.organization(at=START)
        pipeline = log.pipeline(at=START)
        log.deal(pipeline, at=START + timedelta(hours=1), recorded=START)
        lost = log.events[1]
        known, *new = [event for event in log.events if event is not lost]
        load_raw(warehouse, [known], loaded_at=START)
        load_raw(warehouse, new)
        findings = judge_raw(warehouse.warehouse_url.get_secret_value(), since=START + timedelta(seconds=1))
        assert {finding.check: finding.message for finding in findings} == {
            RawCheck.IDS_PRESENT: f"5 expectations hold for {len(new)} events.",
            RawCheck.TYPES_KNOWN: f"1 expectations hold for {len(new)} events.",
            RawCheck.INSTANTS_PLAUSIBLE: "occurred_ahead: not as expected in 1 events (3600.0, should be at most 300)",
            RawCheck.VERSIONS_CONTIGUOUS: "missing_versions: not as expected in 1 aggregates (1, should be at most 0)",
        }
        assert [finding.passed for finding in findings] == [True, True, False, False]


class TestReconcile:
    def test_events_that_postgresql_does_not_know_fail_the_check(
        self, installation: Installation, database: Database, dbt_target: Path
    ) -> None:
        warehouse = replace(installation.warehouse, event_log_url=database.relay_url)
        project = load_project(warehouse.settings, target_path=dbt_target)
        definitions = build_defs(warehouse=warehouse, project=project)
        job = definitions.resolve_job_def("quality")
        result = job.execute_in_process(
            instance=installation.instance, op_selection=["published_warehouse_reconcile"], raise_on_error=False
        )
        [evaluation] = result.get_asset_check_evaluations()
        assert evaluation.asset_check_key == dg.AssetCheckKey(dg.AssetKey("published_warehouse"), "reconcile")
        assert not evaluation.passed
        checks = installation.warehouse.status.read().checks
        [check] = [check for check in checks if check.name.startswith("reconcile")]
        assert check.status is CheckState.FAILED
        assert check.message


class TestSourceFreshness:
    def test_dbt_says_how_old_raw_is(self, warehouse: WarehouseSettings, dbt_target: Path) -> None:
        log, now = EventLog(), datetime.now(UTC)
        log.organization(at=START)
        found = []
        for days in (None, 8, 2, 0):
            if days is not None:
                load_raw(warehouse, log.events, loaded_at=now - timedelta(days=days))
            found.append(read_source_freshness(warehouse, target_path=dbt_target).status)
        assert found == ["pass", "error", "warn", "pass"]

    def test_the_check_is_shown_where_people_look(self, installation: Installation, dbt_target: Path) -> None:
        project = load_project(installation.warehouse.settings, target_path=dbt_target)
        job = build_defs(warehouse=installation.warehouse, project=project).resolve_job_def("quality")
        result = job.execute_in_process(instance=installation.instance, op_selection=["raw__events_is_fresh"])
        assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True]
        checks = installation.warehouse.status.read().checks
        assert [(check.name, check.status) for check in checks] == [("source: events come each day", CheckState.OK)]


class TestEquality:
    @pytest.mark.slow
    def test_increments_and_a_full_refresh_agree_and_a_tampered_mart_is_named(self, installation: Installation) -> None:
        installation.refresher.refresh_if_due()
        installation.new_deal()
        assert compare_with_full_refresh(installation.warehouse).differences == {}
        with duckdb.connect(str(build_path(installation.url))) as build:
            build.execute("delete from funnel_daily where day = (select min(day) from funnel_daily)")
        comparison = compare_with_full_refresh(installation.warehouse)
        assert set(comparison.differences) == {"funnel_daily"}
        assert "built anew" in comparison.differences["funnel_daily"]
