"""How many events a second the relay brings from PostgreSQL to Kafka, each confirmed and noted.

The limit is kafka-python's producer alone, as anybody would use it: the very same keys, values and headers, already in
memory, sent in a loop and flushed; it reads nothing, notes nothing and looks at no receipt.
"""

from contextlib import closing
from threading import Event, Thread
from time import monotonic
from uuid import UUID

import psycopg
from kafka import KafkaProducer
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from bus.connection import client_options
from contracts.settings import KafkaSettings, RelayDatabaseSettings, RelaySettings, WarehouseSettings
from contracts.topics import Topic, key_of
from ingest.epoch import EPOCH_HEADER
from ingest.relay import Relay
from runtime.stack import Stack

_EVENTS = 100_000
_AGGREGATES = 5_000
_PATIENCE_SECONDS = 300.0

# as the API writes them: many aggregates, each with its own history; ids with random tails spread over the shards
_FILL = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, actor, actor_id, correlation_id, data)
select gen_random_uuid(), %(organization)s, 'deal.amount.changed', 1, 'deal', a.id, (n / %(aggregates)s) + 1,
       now(), 'user', a.id, gen_random_uuid(),
       jsonb_build_object('deal_id', a.id, 'amount_minor', n * 100, 'currency', 'EUR')
from generate_series(0, %(events)s - 1) n
join (select ordinality - 1 as number, gen_random_uuid() as id from generate_series(1, %(aggregates)s)
      with ordinality) a on a.number = n %% %(aggregates)s
order by n
"""

_MESSAGES = """
select e.aggregate_id::text, row_to_json(message)::text from event_log e, lateral (
    select e.event_id as id, e.type, e.version, e.organization_id, e.aggregate_type, e.aggregate_id,
           e.aggregate_version, e.occurred_at, e.recorded_at, e.actor, e.actor_id, e.causation_id, e.correlation_id,
           e.depth, e.data
) message order by e.position limit %s
"""


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Relay a backlog of `events` over one process, then send the same messages bare, to the same broker."""
    with running_stack({"broker"}) as stack:
        organization = UUID(str(uuid7()))
        environment = stack.environment()
        _fill(environment["SLUICE_DATABASE_URL"], organization, events)
        figure = _relay(stack, events)
        kafka = KafkaSettings(kafka_bootstrap_servers=stack.broker.bootstrap_servers)
        with psycopg.connect(environment["SLUICE_DATABASE_RELAY_URL"]) as connection:
            rows = connection.execute(_MESSAGES, (min(events, 50_000),)).fetchall()
        records = [(key_of(organization, aggregate_id), message.encode()) for aggregate_id, message in rows]
        limit = _send(kafka, records)
        with_partition = _send(kafka, records, partition=0)
    return BenchmarkResult(
        name="relay",
        figure=figure,
        unit="events/s",
        limit=limit,
        limit_description="kafka-python producer sending the same records, same run",
        details={
            "events": events,
            "bytes per message": sum(len(value) for _, value in records) // len(records),
            "the producer, all to one given partition": f"{with_partition:,.0f} events/s",
        },
    )


def _fill(url: str, organization: UUID, events: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("select set_config('sluice.organization_id', %s, true)", (str(organization),))
        parameters = {"organization": organization, "events": events, "aggregates": min(_AGGREGATES, events)}
        connection.execute(_FILL, parameters)


def _relay(stack: Stack, events: int) -> float:
    environment = stack.environment()
    relay = Relay(
        RelayDatabaseSettings(database_relay_url=SecretStr(environment["SLUICE_DATABASE_RELAY_URL"])),
        KafkaSettings(kafka_bootstrap_servers=stack.broker.bootstrap_servers),
        WarehouseSettings(warehouse_url=SecretStr(environment["SLUICE_WAREHOUSE_URL"])),
        RelaySettings(),
    )
    stop = Event()
    thread = Thread(target=relay.run, args=(stop,))
    begun = monotonic()
    thread.start()
    try:
        while relay.published < events:
            thread.join(0.01)
            if monotonic() - begun > _PATIENCE_SECONDS:
                raise TimeoutError(f"{relay.published} of {events} events after {_PATIENCE_SECONDS:.0f} seconds")
        return events / (monotonic() - begun)
    finally:
        stop.set()
        thread.join()


def _send(kafka: KafkaSettings, records: list[tuple[bytes, bytes]], partition: int | None = None) -> float:
    headers = [(EPOCH_HEADER, str(uuid7()).encode())]
    with closing(KafkaProducer(**client_options(kafka))) as producer:
        producer.send(Topic.DEALS.value, key=b"warm", value=b"{}").get(timeout=30)
        begun = monotonic()
        for key, value in records:
            producer.send(Topic.DEALS.value, key=key, value=value, headers=headers, partition=partition)
        producer.flush()
        return len(records) / (monotonic() - begun)
