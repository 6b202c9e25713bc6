"""The spine without processes: the real API, event log, outbox, relay steps, decoding and Delta sink, in one thread.

Only the broker is the one in memory. Relays and loaders are taken step by step, so that a test may end them between
any two, and in the middle of one.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from deltalake import DeltaTable
from pydantic import SecretStr

from bus.memory import MemoryBroker, MemoryProducer
from bus.records import Message, OutgoingRecord, Partition, Receipt, SendFailure, TransportError
from contracts.settings import WarehouseSettings
from contracts.topics import EVENT_TOPICS
from contracts.warehouse import RAW_EVENTS
from ingest.decoding import decode
from ingest.epoch import EPOCH_HEADER, EpochTopic, establish_epoch
from ingest.outbox import Outbox, newest_epoch
from ingest.publishing import Publisher
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetConflictError, OffsetRange
from tests.conftest import Database
from tests.factories import Account, Api

T = TypeVar("T")

_EVENT_COLUMNS = ("event_id", "organization_id", "aggregate_id", "aggregate_version")
_PLACE_COLUMNS = ("epoch", "topic", "partition", "offset")

_EMPTY = """
do $$ declare names text; begin
    select string_agg(format('public.%I', relname), ', ') into names from pg_class
    where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and not relispartition
      and relname <> 'alembic_version';
    execute 'truncate ' || names || ' cascade';
end $$
"""


class CrashError(Exception):
    """The process ended here."""


class Seen(NamedTuple):
    """An event somewhere behind the log."""

    id: UUID
    organization_id: UUID
    aggregate_id: UUID
    version: int


@dataclass
class _CrashingProducer(MemoryProducer):
    """May end its process when the broker has the records and nobody has noted it."""

    is_about_to_crash: bool = False

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        outcomes = super().send_all(records)
        if self.is_about_to_crash:
            raise CrashError
        return outcomes


def _topic(broker: MemoryBroker) -> EpochTopic:
    return EpochTopic(broker.admin(), broker.consumer(), broker.producer())


class RelaySteps:
    """One relay; it begins a session with its first step after the start, a failure or a kill."""

    def __init__(self, url: str, broker: MemoryBroker, warehouse: WarehouseSettings) -> None:
        self._url, self._broker, self._warehouse = url, broker, warehouse
        self._producer = _CrashingProducer(broker)
        self._publisher: Publisher | None = None

    def step(self, batch_size: int, *, is_killed_after_sending: bool = False) -> int:
        """One batch; how many events were published. A session that breaks is ended, as the relay does."""
        self._producer.is_about_to_crash = is_killed_after_sending
        try:
            publisher = self._publisher = self._publisher or self._begin()
            publisher.batch_size = batch_size
            publisher.outbox.balance_shards()
            published = publisher.publish_batch().published
            if not published and not publisher.topic.is_intact(publisher.marker):
                self.kill()  # one that has nothing to do looks after the broker, as it does every second
            return published
        except (TransportError, CrashError, psycopg.Error):
            self.kill()
            return 0

    @property
    def is_running(self) -> bool:
        """Whether the last step left a session to go on with."""
        return self._publisher is not None

    def kill(self) -> None:
        """End the session: connection and leases are gone."""
        if self._publisher is not None:
            self._publisher.outbox.close()
            self._publisher = None

    def _begin(self) -> Publisher:
        outbox, topic = Outbox(self._url), _topic(self._broker)
        try:
            marker = establish_epoch(outbox.connection, topic, self._stored)
        except BaseException:
            outbox.close()
            raise
        return Publisher(outbox, self._producer, topic, marker)

    def _stored(self, epoch: UUID) -> dict[Partition, int]:
        with closing(open_sink(self._warehouse)) as sink:
            return sink.offsets(epoch)


class LoaderSteps:
    """One loader, which keeps nothing between two steps but what a zombie would still have in hand."""

    def __init__(self, broker: MemoryBroker, warehouse: WarehouseSettings) -> None:
        self._broker, self._warehouse = broker, warehouse
        self._in_hand: Callable[[], None] | None = None

    def step(self, generator: random.Random, *, limit: int, is_killed_before_commit: bool = False) -> int:
        """Read up to `limit` records of each of some partitions, in any order of partitions; how many were loaded."""
        marker = _topic(self._broker).read()
        if marker is None:
            return 0
        with closing(open_sink(self._warehouse)) as sink:
            stored = sink.offsets(marker.epoch)
        messages: list[Message] = []
        ranges: dict[Partition, OffsetRange] = {}
        places = sorted(place for place in self._broker.logs if place.topic in EVENT_TOPICS)
        for place in generator.sample(places, generator.randint(min(1, len(places)), len(places))):
            start = stored.get(place, 0)
            read = self._broker.logs[place][start : start + limit]
            if read:
                messages += read
                ranges[place] = OffsetRange(start, start + len(read))
        if not ranges:
            return 0

        def commit() -> None:
            decoded = decode(messages, epoch=str(marker.epoch), loaded_at=datetime.now(UTC))
            assert not decoded.rejected
            with closing(open_sink(self._warehouse)) as sink:
                sink.append(decoded.rows, epoch=marker.epoch, ranges=ranges)

        self._in_hand = commit
        if not is_killed_before_commit:
            commit()
        return len(messages)

    def wake_zombie(self) -> bool:
        """A loader that slept since it read its last batch commits it now; whether it was let."""
        if self._in_hand is None:
            return False
        try:
            self._in_hand()
        except OffsetConflictError:
            return False
        return True


class SmallWorld:
    """Everything but the processes. `reset` empties it."""

    def __init__(self, database: Database, api: Api, runner: asyncio.Runner, folder: Path) -> None:
        self.database, self.api, self._runner, self._folder = database, api, runner, folder
        self._admin = psycopg.connect(database.admin_url, autocommit=True)
        self._worlds = 0
        self.broker = MemoryBroker()
        self.relays: list[RelaySteps] = []

    def reset(self) -> None:
        """An empty database, broker and warehouse, two relays, a loader."""
        self.rest()
        self._admin.execute(_EMPTY)
        self._worlds += 1
        self.warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{self._folder}/{self._worlds}"))
        self.broker = MemoryBroker()
        self.relays = [RelaySteps(self.database.relay_url, self.broker, self.warehouse) for _ in range(2)]
        self.loader = LoaderSteps(self.broker, self.warehouse)

    def rest(self) -> None:
        """End the relays' sessions."""
        for relay in self.relays:
            relay.kill()

    def close(self) -> None:
        """Give up all connections but the API's."""
        self.rest()
        self._admin.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a call of the API."""
        return self._runner.run(work)

    def sign_up(self) -> Account:
        """A new organization's owner."""
        return self.run(self.api.sign_up())

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows, whoever's they are."""
        return self._admin.execute(statement, parameters).fetchall()

    def logged(self) -> list[Seen]:
        """The event log."""
        columns = ", ".join(_EVENT_COLUMNS)
        return [Seen(*row) for row in self.query(f"select {columns} from event_log order by position")]

    def published(self) -> list[Seen]:
        """What a consumer takes of the topics, of each partition in order: records of the epoch that was begun last.

        A relay may send to a broker that has just forgotten, before it notices; such records are of an epoch that is
        over, and nobody takes them.
        """
        newest = str(newest_epoch(self._admin)).encode()
        return [
            _seen(json.loads(record.value or b""))
            for place, log in self.broker.logs.items()
            if place.topic in EVENT_TOPICS
            for record in log
            if dict(record.headers)[EPOCH_HEADER] == newest
        ]

    def repeat_record(self, generator: random.Random) -> None:
        """A relay that was killed sends a record once more, as late as its aggregate's newest one."""
        logs = [log for place, log in sorted(self.broker.logs.items()) if place.topic in EVENT_TOPICS and log]
        if not logs:
            return
        again = generator.choice(generator.choice(logs))
        copy = [(name, content) for name, content in again.headers if name == EPOCH_HEADER]
        self.broker.append(again.topic, again.key or b"", again.value, copy)

    def loaded(self) -> list[tuple[Seen, tuple[Any, ...]]]:
        """The raw relation: each row's event and place, in the order of epochs and offsets."""
        folder = self._folder / str(self._worlds) / "raw" / RAW_EVENTS
        if not folder.exists():
            return []
        table = DeltaTable(str(folder)).to_pyarrow_table(columns=[*_EVENT_COLUMNS, *_PLACE_COLUMNS])
        rows = sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=lambda row: row[4:])
        return [(Seen(UUID(row[0]), UUID(row[1]), UUID(row[2]), row[3]), row[4:]) for row in rows]


def _seen(envelope: dict[str, Any]) -> Seen:
    event_id, organization_id, aggregate_id = (
        UUID(envelope[name]) for name in ("id", "organization_id", "aggregate_id")
    )
    return Seen(event_id, organization_id, aggregate_id, envelope["aggregate_version"])
