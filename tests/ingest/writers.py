"""Writers of events, as the API's transactions would be; runs relays and loaders beside a test."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually

ORGANIZATION = UUID("01900000-0000-7000-8000-00000000000a")

_INSERT = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, actor, correlation_id, data)
values (%(id)s, %(organization_id)s, %(type)s, %(version)s, %(aggregate_type)s, %(aggregate_id)s,
        %(aggregate_version)s, now(), 'user', %(id)s, %(data)s)
"""


def new_id() -> UUID:
    return UUID(str(uuid7()))


def insert_event(
    connection: psycopg.Connection,
    aggregate_id: UUID,
    aggregate_version: int,
    *,
    kind: str = "deal.deleted",
    aggregate_type: str = "deal",
    version: int = 1,
    data: dict[str, Any] | None = None,
    organization_id: UUID = ORGANIZATION,
) -> UUID:
    """Insert one event in the connection's transaction, as the API does; its id."""
    event_id = new_id()
    connection.execute("select set_config('sluice.organization_id', %s, true)", (str(organization_id),))
    connection.execute(
        _INSERT,
        {
            "id": event_id,
            "organization_id": organization_id,
            "type": kind,
            "version": version,
            "aggregate_type": aggregate_type,
            "aggregate_id": aggregate_id,
            "aggregate_version": aggregate_version,
            "data": json.dumps(data or {}),
        },
    )
    return event_id


def insert_events(url: str, count: int, *, aggregates: int = 50, seed: int = 1) -> None:
    """Insert `count` events of several aggregates and types, each aggregate's versions in order, in one transaction."""
    generator = random.Random(seed)
    ids = [new_id() for _ in range(aggregates)]
    versions = dict.fromkeys(ids, 0)
    rows = []
    for _ in range(count):
        aggregate_id = generator.choice(ids)
        versions[aggregate_id] += 1
        data = {"amount_minor": generator.randrange(10**9), "currency": "EUR"}
        rows.append(
            {
                "id": new_id(),
                "organization_id": ORGANIZATION,
                "type": "deal.amount.changed",
                "version": 1,
                "aggregate_type": "deal",
                "aggregate_id": aggregate_id,
                "aggregate_version": versions[aggregate_id],
                "data": json.dumps(data),
            }
        )
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select set_config('sluice.organization_id', %s, true)", (str(ORGANIZATION),))
        cursor.executemany(_INSERT, rows)


def relay_settings(
    database: Database, broker: RunningBroker, warehouse_url: str
) -> tuple[RelayDatabaseSettings, KafkaSettings, WarehouseSettings]:
    """Settings of a relay."""
    return (
        RelayDatabaseSettings(database_relay_url=SecretStr(database.relay_url)),
        KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers),
        WarehouseSettings(warehouse_url=SecretStr(warehouse_url)),
    )


@contextmanager
def running(target: Callable[[Event], None], *, count: int = 1) -> Iterator[None]:
    """Run `target(stop)` in `count` threads for as long as the block lasts; what they raise is raised here."""
    stop = Event()
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            target(stop)
        except BaseException as failure:  # noqa: BLE001  # raised again below, in the test's thread
            failures.append(failure)

    threads = [Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        if failures:  # also when the block failed: this is why
            raise failures[0]
    assert not any(thread.is_alive() for thread in threads), "a process did not stop"


def count(url: str, query: str) -> int:
    """The one number that a query answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def wait_until_published(database: Database, *, seconds: float = 90.0) -> None:
    """Wait until no event is pending, parked ones and those behind them aside."""
    query = "select count(*) from outbox where published_at is null"
    eventually(lambda: count(database.relay_url, query) == 0, seconds=seconds, what="all events are published")
