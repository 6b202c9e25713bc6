"""What each station of the spine holds, read straight from it: event log, topics, raw relation, published marts."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import psycopg
from deltalake import DeltaTable

from bus.consumer import KafkaRecordConsumer
from bus.records import Partition
from bus.topics import TOPICS
from contracts.settings import KafkaSettings
from contracts.topics import EVENT_TOPICS
from contracts.warehouse import RAW_EVENTS
from metrics.publication import PublishedFolder, is_duckdb, warehouse_folder

_QUIET_POLLS = 4

_ENVELOPE = (
    "event_id, type, version, organization_id, aggregate_type, aggregate_id, aggregate_version, occurred_at,"
    " recorded_at, actor, actor_id, causation_id, correlation_id, depth, data"
)


class Event(NamedTuple):
    """An event as any station has it: equal wherever it is whole."""

    id: UUID
    type: str
    version: int
    organization_id: UUID
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    actor_id: UUID | None
    causation_id: UUID | None
    correlation_id: UUID
    depth: int
    data: str


@dataclass(frozen=True)
class Copy:
    """An event in the topics or in raw, and the place it was published to."""

    event: Event
    epoch: UUID
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> tuple[UUID, str, int, int]:
        """Where it was published; no two copies share it."""
        return (self.epoch, self.topic, self.partition, self.offset)


@dataclass(frozen=True)
class DealRow:
    """A deal as it stands."""

    stage_id: UUID
    status: str
    amount_minor: int | None


def _event(row: Sequence[Any]) -> Event:
    values = dict(zip(Event._fields, row, strict=True))
    for name in ("id", "organization_id", "aggregate_id", "actor_id", "causation_id", "correlation_id"):
        values[name] = UUID(str(values[name])) if values[name] else None
    for name in ("occurred_at", "recorded_at"):
        instant = values[name]
        values[name] = (datetime.fromisoformat(instant) if isinstance(instant, str) else instant).astimezone(UTC)
    data = values["data"]
    values["data"] = json.dumps(json.loads(data) if isinstance(data, str) else data, sort_keys=True)
    return Event(**values)


def logged_events(url: str) -> list[Event]:
    """The event log, in its order."""
    with psycopg.connect(url) as connection:
        return [_event(row) for row in connection.execute(f"select {_ENVELOPE} from event_log order by position")]


def epochs(url: str) -> list[UUID]:
    """The transport's epochs, oldest first."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("select epoch from transport_epoch order by started_at")]


def deal_rows(admin_url: str) -> dict[UUID, tuple[int, DealRow]]:
    """Version and state of each deal that is not deleted, as the API keeps it."""
    with psycopg.connect(admin_url) as connection:
        rows = connection.execute(
            "select id, version, stage_id, status, amount_minor from deals where deleted_at is null"
        ).fetchall()
    return {row[0]: (row[1], DealRow(*row[2:])) for row in rows}


def published_copies(bootstrap_servers: str) -> list[Copy]:
    """Everything that the topics hold now; of each partition in order."""
    consumer = KafkaRecordConsumer(KafkaSettings(kafka_bootstrap_servers=bootstrap_servers))
    copies: list[Copy] = []
    with closing(consumer):
        consumer.assign({Partition(topic, number): 0 for topic in EVENT_TOPICS for number in range(TOPICS[topic][0])})
        quiet = 0
        while quiet < _QUIET_POLLS:
            polled = consumer.poll(0.3)
            quiet = 0 if polled else quiet + 1
            for messages in polled.values():
                copies += [_copy(message) for message in messages]
    return copies


def _copy(message: Any) -> Copy:
    content = json.loads(message.value)
    epoch = dict(message.headers)["epoch"].decode()
    event = _event([content["id" if name == "id" else name] for name in Event._fields])
    return Copy(event, UUID(epoch), message.topic, message.partition, message.offset)


def logged_count(url: str) -> int:
    """How many events the event log has."""
    with psycopg.connect(url) as connection:
        return _number(connection.execute("select count(*) from event_log").fetchone())


def loaded_count(warehouse_url: str) -> int:
    """How many different events the raw relation has."""
    count = "select count(distinct event_id) from"
    if not is_duckdb(warehouse_url):
        with psycopg.connect(warehouse_url) as connection:
            return _number(connection.execute(f"{count} raw.{RAW_EVENTS}").fetchone())
    files = DeltaTable(str(warehouse_folder(warehouse_url) / "raw" / RAW_EVENTS)).file_uris()
    if not files:
        return 0
    with duckdb.connect() as engine:
        engine.read_parquet(files).create_view("raw")
        return _number(engine.execute(f"{count} raw").fetchone())


def published_count(warehouse_url: str) -> int:
    """How many events the marts that readers open now are made of."""
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None:
        return 0
    try:
        with folder.hold(current), duckdb.connect(str(folder.path_of(current)), read_only=True) as engine:
            return _number(engine.execute("select coalesce(sum(event_count), 0) from warehouse_freshness").fetchone())
    except FileNotFoundError:  # a newer version was published this moment
        return 0


def _number(row: Sequence[Any] | None) -> int:
    return int(row[0]) if row else 0


def loaded_copies(warehouse_url: str) -> list[Copy]:
    """Every row of the raw relation."""
    columns = f'{_ENVELOPE}, epoch, topic, partition, "offset"'
    if not is_duckdb(warehouse_url):
        with psycopg.connect(warehouse_url) as connection:
            rows: Sequence[Any] = connection.execute(f"select {columns} from raw.{RAW_EVENTS}").fetchall()
    else:
        files = DeltaTable(str(warehouse_folder(warehouse_url) / "raw" / RAW_EVENTS)).file_uris()
        if not files:
            return []
        with duckdb.connect() as engine:
            engine.read_parquet(files).create_view("raw")
            for name in ("occurred_at", "recorded_at"):  # as numbers: a time zone's name needs a package more
                columns = columns.replace(f"{name},", f"epoch_us({name}),")
            rows = engine.execute(f"select {columns} from raw").fetchall()
    return [_loaded(row) for row in rows]


def _loaded(row: Sequence[Any]) -> Copy:
    values = [_instant(value) if index in (7, 8) else value for index, value in enumerate(row[:15])]
    return Copy(_event(values), UUID(str(row[15])), row[16], row[17], row[18])


def _instant(value: Any) -> Any:
    if not isinstance(value, int):
        return value
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


@dataclass(frozen=True)
class Marts:
    """The published figures that can be held against the event log."""

    event_counts: Mapping[UUID, int]
    stage_entries: list[UUID]
    deals: Mapping[UUID, list[DealRow]]


def published_marts(warehouse_url: str) -> Marts | None:
    """The version that readers open now; None before the first one.

    Raises:
        FileNotFoundError: a newer one was published this moment.
    """
    folder = PublishedFolder(warehouse_folder(warehouse_url))
    current = folder.current()
    if current is None:
        return None
    with folder.hold(current), duckdb.connect(str(folder.path_of(current)), read_only=True) as engine:
        counts = engine.execute("select organization_id, event_count from warehouse_freshness").fetchall()
        entries = engine.execute("select event_id from fct_stage_entries where known_to is null").fetchall()
        deals = engine.execute(
            "select deal_id, stage_id, status, amount_minor from fct_deals where known_to is null"
        ).fetchall()
    by_deal: dict[UUID, list[DealRow]] = {}
    for deal_id, stage_id, status, amount in deals:
        by_deal.setdefault(deal_id, []).append(DealRow(stage_id, status, amount))
    return Marts(dict(counts), [row[0] for row in entries], by_deal)
