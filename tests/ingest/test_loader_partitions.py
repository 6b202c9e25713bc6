"""Partitions that come, topics made anew, offsets beyond the end: nothing is skipped, nothing stalls unsaid."""

import json
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest
from deltalake import DeltaTable
from kafka import KafkaAdminClient
from pydantic import SecretStr

from bus.memory import MemoryBroker
from bus.records import Message, Partition
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from ingest.epoch import EPOCH_HEADER, EpochTopic
from ingest.loader import Loader, Transport
from ingest.relay import Relay
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.loading import is_complete, row_count
from tests.ingest.writers import (
    ORGANIZATION,
    count,
    insert_events,
    new_id,
    relay_settings,
    running,
    wait_until_published,
)

FIRST, SECOND = UUID("01900000-0000-7000-8000-0000000000e1"), UUID("01900000-0000-7000-8000-0000000000e2")
DEALS = DealEvent.topic


class Spine:
    """A broker in memory and a loader that reads it into a Delta table."""

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        self.broker = MemoryBroker()
        self.warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder / 'warehouse'}"))
        self.folder = folder / "warehouse" / "raw" / "events"
        self.database = (
            None if database is None else RelayDatabaseSettings(database_relay_url=SecretStr(database.relay_url))
        )
        self.sent: list[str] = []

    def _topic(self) -> EpochTopic:
        return EpochTopic(self.broker.admin(), self.broker.consumer(), self.broker.producer())

    def declare(self, epoch: UUID) -> None:
        self._topic().write(epoch)

    def loader(self) -> Loader:
        return Loader(
            KafkaSettings(),
            self.warehouse,
            self.database,
            connect=lambda _: Transport(self._topic(), self.broker.consumer()),
        )

    def publish(self, partition: int, events: int, *, epoch: UUID = FIRST, topic: str = DEALS) -> None:
        log = self.broker.logs.setdefault(Partition(topic, partition), [])
        for _ in range(events):
            event_id = str(new_id())
            envelope = {
                "id": event_id,
                "type": "deal.deleted",
                "version": 1,
                "organization_id": str(ORGANIZATION),
                "aggregate_type": "deal",
                "aggregate_id": event_id,
                "aggregate_version": 1,
                "occurred_at": "2026-03-01T09:30:00+00:00",
                "recorded_at": "2026-03-01T09:30:00.5+00:00",
                "actor": "user",
                "actor_id": None,
                "causation_id": None,
                "correlation_id": event_id,
                "depth": 0,
                "data": {},
            }
            value = json.dumps(envelope, separators=(",", ":")).encode()
            headers = ((EPOCH_HEADER, str(epoch).encode()),)
            log.append(Message(topic, partition, len(log), b"key", value, headers))
            self.sent.append(event_id)

    def rows(self) -> pl.DataFrame:
        if not DeltaTable.is_deltatable(str(self.folder)):
            return pl.DataFrame(schema={"event_id": pl.String()})
        return pl.DataFrame(DeltaTable(str(self.folder)).to_pyarrow_table())

    def is_loaded(self) -> bool:
        return sorted(self.rows()["event_id"]) == sorted(self.sent)


@pytest.mark.parametrize(("before", "after"), [(3, 6), (6, 9)])
def test_w4_partitions_that_are_added_are_read_from_their_start(tmp_path: Path, before: int, after: int) -> None:
    spine = Spine(tmp_path)
    spine.declare(FIRST)
    spine.broker.widen(DEALS, before)
    spine.publish(0, 5)
    with running(lambda stop: spine.loader().run(stop)):
        eventually(spine.is_loaded, what="the first are loaded")
        spine.broker.widen(DEALS, after)
        for partition in range(after):
            spine.publish(partition, 3)
        eventually(spine.is_loaded, what="the new partitions are loaded, too")
    spine.publish(after - 1, 4)
    with running(lambda stop: spine.loader().run(stop)):
        eventually(spine.is_loaded, what="a new loader goes on where the first one stopped")
    assert set(spine.rows().filter(topic=DEALS)["partition"]) == set(range(after))


def test_w4_a_topic_made_anew_is_read_from_its_start_once_its_epoch_is_declared(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    spine.declare(FIRST)
    spine.publish(1, 50)
    with running(lambda stop: spine.loader().run(stop)):
        eventually(spine.is_loaded, what="the first are loaded")
        spine.broker.make_anew(DEALS)
        spine.declare(SECOND)
        spine.publish(1, 20, epoch=SECOND)
        eventually(spine.is_loaded, what="the new topic is loaded from its first offset")
    rows = spine.rows().filter(epoch=str(SECOND))
    assert sorted(rows["offset"]) == list(range(20))


def test_w4_an_offset_beyond_the_end_is_said_and_healed(database: Database, tmp_path: Path) -> None:
    spine = Spine(tmp_path, database)
    spine.declare(FIRST)
    spine.publish(2, 30)
    with running(lambda stop: spine.loader().run(stop)):
        eventually(spine.is_loaded, what="the first are loaded")
    log = spine.broker.logs[Partition(DEALS, 2)]
    kept, lost = log[:10], log[10:]
    spine.broker.logs[Partition(DEALS, 2)] = kept
    said = (
        "select count(*) from process_status where process = 'loader' and state = 'records lost'"
        " and detail->>'error' like 'sluice.deals-2 ends before offset 30%'"
    )
    with running(lambda stop: spine.loader().run(stop)):
        eventually(lambda: count(database.relay_url, said) == 1, what="it is said")
        kept.extend(lost)
        spine.publish(2, 5)
        eventually(spine.is_loaded, what="it goes on once the records are back")


def test_w4_a_topic_deleted_on_the_broker_is_healed_from_postgresql(
    database: Database, fresh_broker: RunningBroker, tmp_path: Path
) -> None:
    settings = relay_settings(database, fresh_broker, f"duckdb://{tmp_path / 'warehouse'}")
    with running(lambda stop: Relay(*settings).run(stop)):
        with running(lambda stop: Loader(settings[1], settings[2], settings[0]).run(stop)):
            insert_events(database.app_url, 300)
            eventually(lambda: is_complete(database, settings), what="raw is complete")
        insert_events(database.app_url, 200, seed=2)  # published, never loaded
        wait_until_published(database)
        admin = KafkaAdminClient(bootstrap_servers=fresh_broker.bootstrap_servers)
        admin.delete_topics([DEALS])
        admin.close()
        with running(lambda stop: Loader(settings[1], settings[2], settings[0]).run(stop)):
            insert_events(database.app_url, 100, seed=3)
            eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete again")
    assert row_count(settings) == 600


def test_w4_the_loader_says_how_far_behind_it_is(database: Database, tmp_path: Path) -> None:
    spine = Spine(tmp_path, database)
    spine.declare(FIRST)
    spine.publish(0, 25)
    said = (
        "select count(*) from process_status where process = 'loader' and state = 'running'"
        " and (detail->>'records_behind')::int = 0 and (detail->>'loaded')::int = 25"
        " and (detail->>'newest_age_seconds')::float > 0 and detail->>'epoch' = '{}'"
    )
    with running(lambda stop: spine.loader().run(stop)):
        eventually(lambda: count(database.relay_url, said.format(FIRST)) == 1, what="it says that it is up to date")
