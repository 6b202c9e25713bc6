import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from deltalake import DeltaTable

from contracts.stages import StageKind
from contracts.warehouse import Mart
from ingest.sinks import open_sink
from metrics.publication import PublishedFolder, read_postgres_version
from metrics.status import CheckState, RefreshState
from orchestration import refresh as refresh_module
from orchestration.build.database import build_path
from orchestration.build.dbt import load_project
from orchestration.build.raw_state import raw_path
from orchestration.definitions import build_defs
from orchestration.publish import last_publication
from orchestration.refresh import Refresher
from orchestration.warehouse import Warehouse
from tests.conftest import Database
from tests.event_history import EventLog
from tests.eventually import eventually
from tests.orchestration.conftest import Installation
from tests.warehouse_builder import load_raw, postgres_warehouse


def published_rows(installation: Installation, query: str) -> list[tuple[object, ...]]:
    folder = PublishedFolder(Path(installation.url.removeprefix("duckdb://")))
    current = folder.current()
    assert current is not None
    with duckdb.connect(str(folder.path_of(current)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def latest_check(installation: Installation, mart: Mart, name: str) -> dg.AssetCheckEvaluation:
    """Newest result of the mart's check of that name, as Dagster recorded it."""
    key = dg.AssetCheckKey(dg.AssetKey(mart.value), name)
    records = installation.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    event = records[0].event
    assert event is not None
    assert event.dagster_event is not None
    return event.dagster_event.asset_check_evaluation_data


def definitions_over(installation: Installation) -> dg.Definitions:
    warehouse = installation.warehouse
    project = load_project(warehouse.settings, target_path=warehouse.dbt_target_path)
    return build_defs(warehouse=warehouse, project=project)


class TestRefresh:
    def test_events_in_raw_reach_the_published_marts_once(self, installation: Installation) -> None:
        assert installation.refresher.refresh_if_due() is True
        assert published_rows(installation, "select count(*) from fct_deals") == [(2,)]
        first = last_publication(installation.url)
        assert first is not None
        assert first.event_count == len(installation.log.events)
        assert first.manifest_hash.startswith("sha256:")

        # nothing new: nothing runs
        assert installation.refresher.refresh_if_due() is None
        assert last_publication(installation.url) == first

        installation.new_deal()
        assert installation.refresher.refresh_if_due() is True
        assert published_rows(installation, "select count(*) from fct_deals") == [(3,)]
        second = last_publication(installation.url)
        assert second is not None
        assert second.version > first.version

        status = installation.warehouse.status.read()
        assert status.last_refresh is not None
        assert status.last_refresh.status is RefreshState.OK
        assert status.checks
        assert {check.status for check in status.checks} == {CheckState.OK}

        installation.refresher.record.tell()
        latest = installation.instance.get_latest_materialization_event(dg.AssetKey("published_warehouse"))
        assert latest is not None
        assert latest.asset_materialization is not None
        told = latest.asset_materialization.metadata
        assert told["version"].value == second.version
        assert all(float(str(told[name].value)) > 0 for name in ("seconds", "bytes"))
        observed = installation.instance.fetch_observations(dg.AssetKey(["raw", "events"]), limit=1).records
        assert observed[0].asset_observation is not None
        assert observed[0].asset_observation.metadata["dagster/row_count"].value == len(installation.log.events)

    def test_a_new_process_does_not_run_for_what_is_already_published(
        self, refreshed: Installation, make_installation: Callable[[], Installation]
    ) -> None:
        again = make_installation()
        last = last_publication(refreshed.url)
        again.refresher.refresh_if_due()
        assert last_publication(refreshed.url) == last

    def test_without_raw_nothing_runs(self, make_installation: Callable[[], Installation]) -> None:
        empty = make_installation()
        assert empty.refresher.refresh_if_due() is None
        assert last_publication(empty.url) is None


class TestPostgresWarehouse:
    def test_events_in_raw_reach_the_published_marts_once(
        self, warehouse_database: str, dbt_target: Path, instance: dg.DagsterInstance
    ) -> None:
        warehouse = postgres_warehouse(warehouse_database)
        orchestrated = Warehouse(settings=warehouse, dbt_target_path=dbt_target / "postgres", event_log_url="")
        refresher = Refresher.over(orchestrated, instance)
        log, start = EventLog(), datetime.now(UTC) - timedelta(days=2)
        log.organization(at=start)
        log.deal(log.pipeline(at=start), at=start + timedelta(hours=1))
        load_raw(warehouse, log.events)
        assert refresher.refresh_if_due() is True
        assert refresher.refresh_if_due() is None
        refresher.watch.close()
        with psycopg.connect(warehouse_database) as connection:
            version = read_postgres_version(connection)
            assert connection.execute("select count(*) from published.fct_deals").fetchone() == (1,)
        last = last_publication(warehouse_database)
        assert last is not None
        assert version is not None
        assert (last.version, last.event_count) == (version.version, len(log.events))
        status = orchestrated.status.read()
        assert status.last_refresh is not None
        assert status.last_refresh.status is RefreshState.OK

        # rows that an older release's loader added are not counted, and not lost
        with psycopg.connect(warehouse_database) as connection:
            connection.execute("update raw.generation set row_count = 1")
        log.organization(at=start + timedelta(hours=2))
        load_raw(warehouse, log.events[-1:])
        assert refresher.refresh_if_due() is True
        refresher.watch.close()
        # nothing was lost: it was an increment, in which staged events keep their batches
        with psycopg.connect(warehouse_database) as connection:
            assert connection.execute("select max(batch_id) from staging.stg_events").fetchone() == (2,)


class TestLoop:
    def test_it_runs_until_told_to_stop_and_reports_itself(
        self,
        refreshed: Installation,
        database: Database,
        tmp_path: Path,
        dbt_target: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in {
            "WAREHOUSE_URL": refreshed.url,
            "DATABASE_RELAY_URL": database.relay_url,
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "DBT_TARGET_PATH": str(dbt_target),
        }.items():
            monkeypatch.setenv(f"SLUICE_{name}", value)
        before = last_publication(refreshed.url)
        refreshed.new_deal()
        stop = threading.Event()
        loop = threading.Thread(target=refresh_module.run, args=(stop,))
        loop.start()
        try:
            eventually(lambda: last_publication(refreshed.url) != before, seconds=120)
        finally:
            stop.set()
            loop.join(60)
        assert not loop.is_alive()
        with psycopg.connect(database.relay_url) as connection:
            row = connection.execute("select state from process_status where process = 'refresh'").fetchone()
        assert row == ("stopped",)


class TestFailingCheck:
    def test_it_keeps_the_old_version_is_visible_and_clears(
        self, refreshed: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refresh_module, "_BACK_OFF_SECONDS", (0.0,))
        now, pipeline = datetime.now(UTC), refreshed.log_pipeline
        deal = refreshed.log.deal(pipeline, at=now - timedelta(minutes=2))
        refreshed.load()
        assert refreshed.refresher.refresh_if_due() is True
        good = last_publication(refreshed.url)

        # a visit to no stage: what a broken model would make of the deal, as soon as it is looked at again
        with duckdb.connect(str(build_path(refreshed.url))) as build:
            build.execute("update staging.stg_deal_events set to_stage_id = null where deal_id = ?", [deal.id])
        refreshed.log.move(deal, pipeline.of_kind(StageKind.OPEN)[1], at=now - timedelta(minutes=1))
        refreshed.new_deal()
        assert refreshed.refresher.refresh_if_due() is False
        assert published_rows(refreshed, "select count(*) from fct_deals") == [(3,)]
        # the group that fails stays as it was, what is sound goes on
        published = last_publication(refreshed.url)
        assert good is not None
        assert published is not None
        assert published.parts["sales"] == good.parts["sales"]
        assert published.parts["events"]["version"] > good.parts["events"]["version"]

        status = refreshed.warehouse.status.read()
        assert status.last_refresh is not None
        assert status.last_refresh.status is RefreshState.FAILED
        assert "fct_stage_entries" in (status.last_refresh.error or "")
        assert {group.name for group in status.groups if group.error} == {"sales"}
        failed = [check.name for check in status.checks if check.status is CheckState.FAILED]
        assert any("fct_stage_entries" in name for name in failed)
        refreshed.refresher.record.tell_if_due()  # what fails is told at once
        evaluation = latest_check(refreshed, Mart.FCT_STAGE_ENTRIES, "fct_stage_entries_has_sound_rows")
        assert not evaluation.passed
        assert evaluation.blocking

        # it is tried again, and fails again, while nothing was mended
        assert refreshed.refresher.refresh_if_due() is False

        # the way out for a data engineer: a full refresh, started on Dagster's pages
        definitions = definitions_over(refreshed)
        result = definitions.resolve_job_def("full_refresh").execute_in_process(instance=refreshed.instance)
        assert result.success
        assert published_rows(refreshed, "select count(*) from fct_deals where known_to is null") == [(4,)]
        status = refreshed.warehouse.status.read()
        assert status.last_refresh is not None
        assert status.last_refresh.status is RefreshState.OK
        assert status.last_refresh.error is None
        assert {check.status for check in status.checks} == {CheckState.OK}
        assert latest_check(refreshed, Mart.FCT_STAGE_ENTRIES, "fct_stage_entries_has_sound_rows").passed
        # the checks of raw ran before the models did
        assert {check.name for check in status.checks if check.name.startswith("raw: ")} == {
            "raw: ids_present",
            "raw: types_known",
            "raw: instants_plausible",
            "raw: versions_contiguous",
        }

    def test_raw_with_fewer_events_is_published_only_when_a_person_accepts_it(self, refreshed: Installation) -> None:
        good = last_publication(refreshed.url)
        rows = EventLog()
        rows.organization(at=datetime.now(UTC) - timedelta(days=3))
        DeltaTable(str(raw_path(refreshed.url))).delete()
        load_raw(refreshed.warehouse.settings, rows.events)
        assert refreshed.refresher.refresh_if_due() is False
        assert last_publication(refreshed.url) == good
        status = refreshed.warehouse.status.read()
        failed = {check.name for check in status.checks if check.status is CheckState.FAILED}
        assert "new figures: no events lost" in failed
        refreshed.refresher.record.tell_if_due()  # what fails is told at once
        evaluation = latest_check(refreshed, Mart.WAREHOUSE_FRESHNESS, "no_fewer_events")
        assert (evaluation.passed, evaluation.blocking) == (False, True)

        definitions = definitions_over(refreshed)
        config = {"ops": {"update_warehouse": {"config": {"accept_fewer_rows": True}}}}
        job = definitions.resolve_job_def("refresh")
        assert job.execute_in_process(instance=refreshed.instance, run_config=config).success
        accepted = last_publication(refreshed.url)
        assert accepted is not None
        assert accepted.event_count == len(rows.events)

    def test_g3_t8_of_the_only_organization_nothing_stays(self, refreshed: Installation) -> None:
        """Raw that was rewritten on purpose is built anew, and published though it holds fewer events, or none."""
        organizations = {event.organization_id for event in refreshed.log.events}
        with closing(open_sink(refreshed.warehouse.settings)) as sink:
            assert sink.forget(organizations) == len(refreshed.log.events)
        assert refreshed.refresher.refresh_if_due() is True
        last = last_publication(refreshed.url)
        assert last is not None
        assert last.event_count == 0
        of_tenants = published_rows(
            refreshed, "select table_name from duckdb_columns() where column_name = 'organization_id'"
        )
        assert Mart.FCT_DEALS.value in {name for (name,) in of_tenants}
        assert {name: last.row_counts.get(str(name)) for (name,) in of_tenants if last.row_counts.get(str(name))} == {}
        assert refreshed.refresher.refresh_if_due() is None

    def test_it_is_not_hammered(self, installation: Installation) -> None:
        Path(installation.url.removeprefix("duckdb://"), ".build").mkdir(exist_ok=True)
        build_path(installation.url).write_bytes(b"no database at all")
        assert installation.refresher.refresh_if_due() is False
        assert installation.refresher.refresh_if_due() is None
        status = installation.warehouse.status.read()
        assert status.last_refresh is not None
        assert status.last_refresh.status is RefreshState.FAILED
        assert last_publication(installation.url) is None
