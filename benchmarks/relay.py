"""How many events a second the relay brings from PostgreSQL to Kafka, each confirmed and noted.

The limit is kafka-python's producer alone, as anybody would use it: the very same keys, values and headers, already in
memory, sent in a loop and flushed; it reads nothing, notes nothing and looks at no receipt.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from time import monotonic, sleep
from uuid import UUID

import psycopg
from kafka import KafkaProducer
from uuid_utils.compat import uuid7

from benchmarks.brokers import running_broker
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from bus.connection import Connector
from contracts import locks
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings
from contracts.topics import key_of
from ingest.epoch import EPOCH_HEADER
from runtime.process import ManagedProcess
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

_OWNERS = f"""
select count(distinct pid) from pg_locks where locktype = 'advisory' and classid = {locks.RELAY_SHARDS} and granted
    and database = (select oid from pg_database where datname = current_database())
"""

_MESSAGES = """
select e.aggregate_id::text, row_to_json(message)::text from event_log e, lateral (
    select e.event_id as id, e.type, e.version, e.organization_id, e.aggregate_type, e.aggregate_id,
           e.aggregate_version, e.occurred_at, e.recorded_at, e.actor, e.actor_id, e.causation_id, e.correlation_id,
           e.depth, e.data
) message order by e.position limit %s
"""


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Relay a backlog of `events` over one process, one over two, then send the same messages bare to that broker."""
    with running_broker() as broker, running_stack({"postgres"}) as stack:
        kafka = broker.kafka
        organization = UUID(str(uuid7()))
        with _relays(stack, kafka, 1):
            figure = _drain(stack, organization, events)
        with _relays(stack, kafka, 2):
            by_two = _drain(stack, organization, events)
        with psycopg.connect(stack.environment()["SLUICE_DATABASE_RELAY_URL"]) as connection:
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
            "broker": broker.description,
            "events": events,
            "bytes per message": sum(len(value) for _, value in records) // len(records),
            "two relays": f"{by_two:,.0f} events/s, {by_two / figure:.2f} times one",
            "the producer, all to one given partition": f"{with_partition:,.0f} events/s",
        },
    )


@contextmanager
def _relays(stack: Stack, kafka: KafkaSettings, count: int) -> Iterator[None]:
    """So many relay processes, once all of them own shards."""
    spec = next(spec for spec in stack.specs() if spec.name == "relay")
    spec = replace(spec, env={**spec.env, "SLUICE_KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers})
    processes = [ManagedProcess(spec, log_path=stack.home.logs / f"relay-{number}.log") for number in range(count)]
    try:
        for process in processes:
            process.start()
        _wait_for(stack, _OWNERS, count)
        yield
    finally:
        for process in processes:
            process.stop()


def _drain(stack: Stack, organization: UUID, events: int) -> float:
    """Events per second from the commit of a backlog to its end."""
    _fill(stack.environment()["SLUICE_DATABASE_URL"], organization, events)
    begun = monotonic()
    _wait_for(stack, "select count(*) from outbox where published_at is null", 0)
    return events / (monotonic() - begun)


def _wait_for(stack: Stack, query: str, number: int) -> None:
    deadline = monotonic() + _PATIENCE_SECONDS
    with psycopg.connect(stack.environment()["SLUICE_DATABASE_RELAY_URL"], autocommit=True) as connection:
        while (row := connection.execute(query).fetchone()) != (number,):
            if monotonic() > deadline:
                raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} seconds: {row}")
            sleep(0.05)


def _fill(url: str, organization: UUID, events: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("select set_config('sluice.organization_id', %s, true)", (str(organization),))
        parameters = {"organization": organization, "events": events, "aggregates": min(_AGGREGATES, events)}
        connection.execute(_FILL, parameters)


def _send(kafka: KafkaSettings, records: list[tuple[bytes, bytes]], partition: int | None = None) -> float:
    headers = [(EPOCH_HEADER, str(uuid7()).encode())]
    with closing(KafkaProducer(**Connector(kafka).options)) as producer:
        producer.send(DealEvent.topic, key=b"warm", value=b"{}").get(timeout=30)
        begun = monotonic()
        for key, value in records:
            producer.send(DealEvent.topic, key=key, value=value, headers=headers, partition=partition)
        producer.flush()
        return len(records) / (monotonic() - begun)
