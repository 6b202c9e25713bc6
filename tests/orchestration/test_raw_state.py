from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.settings import WarehouseSettings
from ingest.sinks import open_sink
from orchestration.raw_state import watch_raw
from tests.event_history import EventLog
from tests.warehouse_builder import duckdb_warehouse, load_raw, postgres_warehouse

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseSettings:
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    make: Callable[[str], WarehouseSettings] = postgres_warehouse
    return make(request.getfixturevalue("warehouse_database"))


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
