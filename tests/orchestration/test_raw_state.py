import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from contracts.settings import WarehouseSettings
from ingest.sinks import open_sink
from orchestration.build.raw_state import raw_path, watch_raw
from tests.event_history import EventLog
from tests.eventually import eventually
from tests.warehouse_builder import duckdb_warehouse, load_raw, postgres_warehouse

START = datetime(2026, 3, 1, tzinfo=UTC)

_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseSettings:
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    make: Callable[[str], WarehouseSettings] = postgres_warehouse
    return make(request.getfixturevalue("warehouse_database"))


def _row_count(url: str) -> int:
    with closing(watch_raw(url)) as watch:
        state = watch.state()
    assert state is not None
    return state.row_count


def _hours(count: int) -> EventLog:
    log = EventLog()
    for hour in range(count):
        log.organization(at=START + timedelta(hours=hour))
    return log


class TestRawWatch:
    def test_it_sees_every_load_and_nothing_else(
        self, warehouse: WarehouseSettings, request: pytest.FixtureRequest
    ) -> None:
        watch = watch_raw(warehouse.warehouse_url.get_secret_value())
        request.addfinalizer(watch.close)
        assert watch.version() is None
        assert watch.state() is None
        log = EventLog()
        seen = set()
        for hour in range(3):
            log.organization(at=START + timedelta(hours=hour))
            load_raw(warehouse, log.events[-1:])
            version = watch.version()
            assert version is not None
            assert version not in seen
            assert watch.version() == version
            seen.add(version)
            state = watch.state()
            assert state is not None
            assert (state.version, state.row_count) == (version, hour + 1)
            assert state.recorded_through == START + timedelta(hours=hour)

    def test_it_sees_that_raw_was_made_anew(self, warehouse: WarehouseSettings, request: pytest.FixtureRequest) -> None:
        log = EventLog()
        log.organization(at=START)
        load_raw(warehouse, log.events)
        watch = watch_raw(warehouse.warehouse_url.get_secret_value())
        request.addfinalizer(watch.close)
        before = watch.version()
        sink = open_sink(warehouse)
        sink.replace(iter([]), epoch=None, offsets={})
        sink.close()
        state = watch.state()
        assert state is None or state.row_count == 0
        if warehouse.warehouse_url.get_secret_value().startswith("duckdb"):
            assert watch.version() != before

    def test_it_knows_what_an_amendment_leaves(self, warehouse: WarehouseSettings) -> None:
        url, log = warehouse.warehouse_url.get_secret_value(), _hours(3)
        load_raw(warehouse, log.events)
        with closing(open_sink(warehouse)) as sink:
            sink.amend([log.events[-1].id], iter([]))
        with closing(watch_raw(url)) as watch:
            state = watch.state()
        assert state is not None
        assert (state.row_count, state.recorded_through) == (2, START + timedelta(hours=1))


class TestDeltaWatch:
    """What is kept open between two looks."""

    def test_it_sees_another_table_of_the_same_version_in_the_same_place(self, tmp_path: Path) -> None:
        warehouse, log = duckdb_warehouse(tmp_path), _hours(2)
        url = warehouse.warehouse_url.get_secret_value()
        load_raw(warehouse, log.events[:1])
        assert _row_count(url) == 1
        shutil.rmtree(raw_path(url))
        with closing(watch_raw(url)) as watch:
            assert watch.version() is None
            load_raw(warehouse, log.events[:1])
            before = watch.version()
            shutil.rmtree(raw_path(url))
            load_raw(warehouse, log.events)
            state = watch.state()
        assert state is not None
        assert (state.version, state.row_count) == (before, 2)


class TestPostgresWatch:
    """What a Delta table's log does by itself."""

    def test_a_look_opens_no_event(self, warehouse_database: str) -> None:
        load_raw(postgres_warehouse(warehouse_database), _hours(2).events)
        with _held(warehouse_database, "lock table raw.events in access exclusive mode"):
            assert _row_count(make_conninfo(warehouse_database, options="-c lock_timeout=5s")) == 2

    def test_it_counts_what_is_loaded_while_raw_is_amended(self, warehouse_database: str) -> None:
        warehouse, log = postgres_warehouse(warehouse_database), _hours(3)
        load_raw(warehouse, log.events[:2])
        with ThreadPoolExecutor() as pool, psycopg.connect(warehouse_database, autocommit=True) as observer:

            def waits(count: int) -> bool:
                return observer.execute(_WAITING).fetchone() == (count,)

            with closing(open_sink(warehouse)) as sink:
                with _held(warehouse_database, "select from raw.generation for update"):
                    loading = pool.submit(load_raw, warehouse, log.events[2:])
                    eventually(lambda: waits(1), what="the loader waits to count its row")
                    amending = pool.submit(sink.amend, [log.events[0].id], iter([]))
                    eventually(lambda: waits(2), what="the amendment waits to count what it leaves")
                loading.result()
                amending.result()
        assert _row_count(warehouse_database) == 2

    def test_it_counts_once_what_an_older_release_loaded(self, warehouse_database: str) -> None:
        load_raw(postgres_warehouse(warehouse_database), _hours(2).events)
        with psycopg.connect(warehouse_database, autocommit=True) as older:
            older.execute("alter table raw.generation drop column row_count, drop column recorded_through")
        open_sink(postgres_warehouse(warehouse_database)).close()
        assert _row_count(warehouse_database) == 2

    def test_it_can_tell_rows_that_nobody_counted_from_lost_ones(self, warehouse_database: str) -> None:
        load_raw(postgres_warehouse(warehouse_database), _hours(2).events)
        with psycopg.connect(warehouse_database, autocommit=True) as older:
            older.execute("update raw.generation set row_count = 1")
        with closing(watch_raw(warehouse_database)) as watch:
            assert watch.count_rows() == 2
        with closing(open_sink(postgres_warehouse(warehouse_database))) as sink:
            sink.amend([], iter([]))
        assert _row_count(warehouse_database) == 2


@contextmanager
def _held(url: str, statement: str) -> Iterator[None]:
    """Keep the locks that a statement takes for as long as the block lasts."""
    with psycopg.connect(url) as holder:
        holder.execute(statement)
        yield
