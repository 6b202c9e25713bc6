"""Rebuild and repair of raw on both warehouses, beside a relay and a loader that go on, whatever interrupts them."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

import polars as pl
import psycopg
import pytest
from deltalake import DeltaTable

from benchmarks.deal_histories import seed_event_log
from bus.records import Partition
from contracts.events.deals import DealEvent
from contracts.settings import WarehouseSettings
from ingest.event_log import RewriteUnderWayError, sole_rewriter
from ingest.loader import Loader
from ingest.rebuild import rebuild
from ingest.reconcile import reconcile
from ingest.relay import Relay
from ingest.sinks import open_sink
from ingest.sinks.interface import FRAME_SCHEMA, GroupKey, GroupSum, OffsetRange
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.writers import count, insert_events, relay_settings, running
from tests.warehouse_builder import duckdb_warehouse, postgres_warehouse

EXTRA = UUID("01900000-0000-7000-8000-0000000000ff")
NOTHING = pl.DataFrame(schema=FRAME_SCHEMA)


@pytest.fixture(params=["delta", "postgres"])
def warehouse(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> WarehouseSettings:
    return duckdb_warehouse(tmp_path) if request.param == "delta" else postgres_warehouse(database.admin_url)


@pytest.fixture
def delivered(database: Database) -> Database:
    """A log of events that reached the warehouse long ago: nothing of them is left in the outbox."""
    seed_event_log(database.admin_url, events=600)
    return database


def change_raw(warehouse: WarehouseSettings, *, delete: UUID, change: UUID, rename: UUID) -> None:
    """Lose one event, falsify another, and give a third an id that nobody knows."""
    url = warehouse.warehouse_url.get_secret_value()
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute("delete from raw.events where event_id = %s", (delete,))
            connection.execute("update raw.events set data = '{}' where event_id = %s", (change,))
            connection.execute("update raw.events set event_id = %s where event_id = %s", (EXTRA, rename))
        return
    table = DeltaTable(f"{url.removeprefix('duckdb://')}/raw/events")
    table.delete(f"event_id = '{delete}'")
    table.update(updates={"data": "'{}'"}, predicate=f"event_id = '{change}'")
    table.update(updates={"event_id": f"'{EXTRA}'"}, predicate=f"event_id = '{rename}'")


def some_events(database: Database) -> dict[str, UUID]:
    """Three events, and what to do to each."""
    with psycopg.connect(database.relay_url) as connection:
        rows = connection.execute(
            "select event_id from event_log where position <= 300 order by md5(event_id::text) limit 3"
        ).fetchall()
    return dict(zip(("delete", "change", "rename"), (row[0] for row in rows), strict=True))


def content(warehouse: WarehouseSettings) -> dict[GroupKey, GroupSum]:
    with closing(open_sink(warehouse)) as sink:
        return sink.group_sums()


@contextmanager
def writing(database: Database) -> Iterator[Callable[[], bool]]:
    """Write events until the block ends. The callable tells whether any were written since it was last asked."""
    stop, written = Event(), Event()

    def write() -> None:
        for seed in itertools.count(100):
            if stop.is_set():
                return
            insert_events(database.app_url, 20, seed=seed)
            written.set()

    def has_written() -> bool:
        is_so = written.is_set()
        written.clear()
        return is_so

    thread = Thread(target=write)
    thread.start()
    try:
        yield has_written
    finally:
        stop.set()
        thread.join(60)


def is_settled(database: Database, warehouse: WarehouseSettings) -> bool:
    found = reconcile(database.relay_url, warehouse)
    return found.is_clean and found.in_flight == 0


class TestRebuild:
    def test_w3_offsets_of_dropped_outbox_partitions_are_kept(
        self, delivered: Database, warehouse: WarehouseSettings
    ) -> None:
        epoch, place = UUID("01900000-0000-7000-8000-00000000000e"), Partition(DealEvent.topic, 2)
        with psycopg.connect(delivered.admin_url) as admin:
            admin.execute("insert into transport_epoch (epoch) values (%s)", (epoch,))
            admin.execute("insert into transport_progress values (%s, %s, %s, 70)", (epoch, *place))
        total = rebuild(delivered.relay_url, warehouse)
        assert total == count(delivered.relay_url, "select count(*) from event_log")
        with closing(open_sink(warehouse)) as sink:
            assert sink.offsets(epoch)[place] == 70
            sink.append(NOTHING, epoch=epoch, ranges={place: OffsetRange(70, 71)})
        before = content(warehouse)
        assert rebuild(delivered.relay_url, warehouse) == total
        assert content(warehouse) == before
        assert reconcile(delivered.relay_url, warehouse).is_clean

    def test_w3_each_rewriting_begins_a_later_generation_and_loading_does_not(
        self, delivered: Database, warehouse: WarehouseSettings
    ) -> None:
        with closing(open_sink(warehouse)) as sink:
            assert sink.generation() == 0
            rebuild(delivered.relay_url, warehouse)
            first = sink.generation()
            epoch, place = UUID("01900000-0000-7000-8000-00000000000e"), Partition(DealEvent.topic, 2)
            sink.append(NOTHING, epoch=epoch, ranges={place: OffsetRange(0, 1)})
            assert sink.generation() == first > 0
            sink.amend([EXTRA], iter([]))
            assert sink.generation() > first

    def test_w3_one_rewriter_at_a_time(self, delivered: Database, warehouse: WarehouseSettings) -> None:
        with (
            sole_rewriter(delivered.relay_url),
            pytest.raises(RewriteUnderWayError),
            sole_rewriter(delivered.relay_url, timeout_seconds=1),
        ):
            pass
        assert rebuild(delivered.relay_url, warehouse) > 0


class TestRepair:
    def test_g3_only_what_differs_is_replaced_and_a_second_look_is_clean(
        self, delivered: Database, warehouse: WarehouseSettings
    ) -> None:
        rebuild(delivered.relay_url, warehouse)
        right = content(warehouse)
        change_raw(warehouse, **some_events(delivered))
        found = reconcile(delivered.relay_url, warehouse, repair=True)
        assert (found.missing, found.different, found.extra, found.repaired) == (2, 1, 1, True)
        again = reconcile(delivered.relay_url, warehouse)
        assert again.is_clean
        assert not again.repaired
        assert content(warehouse) == right

    def test_g3_many_differences_are_repaired_by_making_raw_anew(
        self, delivered: Database, warehouse: WarehouseSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ingest.reconcile.REPAIRED_ONE_BY_ONE", 3)
        rebuild(delivered.relay_url, warehouse)
        right = content(warehouse)
        change_raw(warehouse, **some_events(delivered))
        reconcile(delivered.relay_url, warehouse, repair=True)
        assert content(warehouse) == right

    def test_g3_an_interrupted_repair_is_finished_by_the_next(
        self, delivered: Database, warehouse: WarehouseSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rebuild(delivered.relay_url, warehouse)
        right = content(warehouse)
        change_raw(warehouse, **some_events(delivered))
        with closing(open_sink(warehouse)) as sink:
            amend = type(sink).amend
        calls = iter(range(10))

        def die_at_the_second(*arguments: object) -> None:
            if next(calls) == 1:
                raise KeyboardInterrupt
            amend(*arguments)  # type: ignore[arg-type]  # as they came

        with monkeypatch.context() as patch:
            patch.setattr("ingest.reconcile._IDS_PER_COMMIT", 1)
            patch.setattr(type(sink), "amend", die_at_the_second)
            with pytest.raises(KeyboardInterrupt):
                reconcile(delivered.relay_url, warehouse, repair=True)
        rest = reconcile(delivered.relay_url, warehouse, repair=True)
        assert rest.missing + rest.extra + rest.different == 3
        assert content(warehouse) == right

    def test_g3_a_copy_in_the_wrong_group_is_replaced_too(
        self, delivered: Database, warehouse: WarehouseSettings
    ) -> None:
        rebuild(delivered.relay_url, warehouse)
        right = content(warehouse)
        url = warehouse.warehouse_url.get_secret_value()
        moved = some_events(delivered)["delete"]
        if url.startswith("postgresql"):
            with psycopg.connect(url) as connection:
                connection.execute("update raw.events set type = 'deal.deleted' where event_id = %s", (moved,))
        else:
            table = DeltaTable(f"{url.removeprefix('duckdb://')}/raw/events")
            table.update(updates={"type": "'deal.deleted'"}, predicate=f"event_id = '{moved}'")
        found = reconcile(delivered.relay_url, warehouse, repair=True)
        assert (found.missing, found.different, found.extra) == (1, 1, 0)
        assert content(warehouse) == right

    def test_g3_beside_relay_loader_and_writers_nothing_is_lost_or_taken_for_a_difference(
        self, database: Database, fresh_broker: RunningBroker, warehouse: WarehouseSettings
    ) -> None:
        settings = relay_settings(database, fresh_broker, warehouse.warehouse_url.get_secret_value())
        with (
            running(lambda stop: Relay(*settings).run(stop)),
            running(lambda stop: Loader(settings[1], settings[2], settings[0]).run(stop)),
        ):
            insert_events(database.app_url, 300)
            eventually(lambda: reconcile(database.relay_url, warehouse).in_flight == 0, what="raw is complete")
            with writing(database) as writes:
                for _ in range(2):
                    change_raw(warehouse, **some_events(database))
                    found = reconcile(database.relay_url, warehouse, repair=True)
                    assert (found.missing, found.different, found.extra) == (2, 1, 1)
                    eventually(writes, what="more was written")
            eventually(lambda: is_settled(database, warehouse), what="raw is complete")
        with closing(open_sink(warehouse)) as sink:
            assert sum(group.count for group in sink.group_sums().values()) == count(
                database.relay_url, "select count(*) from event_log"
            )

    def test_the_oldest_event_of_what_was_loaded_since_is_told_per_organization(
        self, delivered: Database, warehouse: WarehouseSettings
    ) -> None:
        begun = datetime.now(UTC)
        rebuild(delivered.relay_url, warehouse)
        with psycopg.connect(delivered.relay_url) as connection:
            connection.execute("set timezone to 'UTC'")
            rows = connection.execute("select organization_id, min(recorded_at) from event_log group by 1")
            oldest: dict[UUID, datetime] = dict(rows.fetchall())
        with closing(open_sink(warehouse)) as sink:
            assert sink.recorded_since(begun) == oldest
            assert sink.recorded_since(datetime.now(UTC) + timedelta(seconds=1)) == {}
