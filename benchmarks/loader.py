"""How many events a second the loader brings into a Delta table exactly once, beside a consumer that does nothing."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from uuid import UUID

from pydantic import SecretStr
from uuid_utils.compat import uuid7

from benchmarks.result import BenchmarkResult
from bus.consumer import KafkaRecordConsumer
from bus.partitioner import partition_of
from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Partition, Receipt
from contracts.settings import KafkaSettings, WarehouseSettings
from contracts.topics import PARTITIONS_PER_TOPIC, Topic, key_of
from ingest.epoch import EPOCH_HEADER, EpochTopic
from ingest.loader import Loader
from ingest.sinks import open_sink
from runtime.embedded.broker import EmbeddedBroker
from runtime.process import ManagedProcess, free_port

_EVENTS = 100_000
_CHUNK = 5_000
_PATIENCE_SECONDS = 300.0


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Publish `events` to an embedded broker, read them raw, then load them; both from the first offset."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, _broker(Path(folder)) as kafka:
        epoch = UUID(str(uuid7()))
        with closing(EpochTopic.connect(kafka)) as topic:
            topic.write(epoch)
        publish_rate = _publish(kafka, epoch, events)
        limit = _consume(kafka, events)
        warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder}/warehouse"))
        figure = _load(kafka, warehouse, events)
        with closing(open_sink(warehouse)) as sink:
            rows = sum(group.count for group in sink.group_sums().values())
    if rows != events:
        raise RuntimeError(f"{rows} distinct events were loaded, not {events}")
    return BenchmarkResult(
        name="loader",
        figure=figure,
        unit="events/s",
        limit=limit,
        limit_description="kafka-python consumer that drops what it reads, same run",
        details={"events": events, "distinct events loaded": rows, "published per second": round(publish_rate)},
    )


@contextmanager
def _broker(folder: Path) -> Iterator[KafkaSettings]:
    server = EmbeddedBroker(free_port())
    process = ManagedProcess(server.spec(), log_path=folder / "broker.log")
    process.start()
    process.wait_ready()
    try:
        yield KafkaSettings(kafka_bootstrap_servers=server.bootstrap_servers)
    finally:
        process.stop()


def _record(number: int, epoch: UUID, organization_id: UUID) -> OutgoingRecord:
    event_id, deal_id = uuid7(), uuid7()
    envelope = {
        "id": str(event_id),
        "type": "deal.amount.changed",
        "version": 1,
        "organization_id": str(organization_id),
        "aggregate_type": "deal",
        "aggregate_id": str(deal_id),
        "aggregate_version": 1,
        "occurred_at": "2026-03-01T09:30:00.123456+00:00",
        "recorded_at": "2026-03-01T09:30:00.223456+00:00",
        "actor": "user",
        "actor_id": str(deal_id),
        "causation_id": None,
        "correlation_id": str(event_id),
        "depth": 0,
        "data": {"amount_minor": number, "currency": "EUR"},
    }
    key = key_of(organization_id, deal_id)
    headers = [("id", str(event_id).encode()), (EPOCH_HEADER, str(epoch).encode())]
    value = json.dumps(envelope, separators=(",", ":")).encode()
    return OutgoingRecord(Topic.DEALS, partition_of(key), key, value, headers)


def _publish(kafka: KafkaSettings, epoch: UUID, events: int) -> float:
    organization_id = UUID(str(uuid7()))
    seconds = 0.0
    with closing(KafkaRecordProducer(kafka)) as producer:
        for start in range(0, events, _CHUNK):
            records = [_record(number, epoch, organization_id) for number in range(start, min(start + _CHUNK, events))]
            begun = monotonic()
            if not all(isinstance(outcome, Receipt) for outcome in producer.send_all(records)):
                raise RuntimeError("the broker did not take all records")
            seconds += monotonic() - begun
    return events / seconds


def _consume(kafka: KafkaSettings, events: int) -> float:
    with closing(KafkaRecordConsumer(kafka)) as consumer:
        begun, seen = monotonic(), 0
        consumer.assign({Partition(Topic.DEALS, number): 0 for number in range(PARTITIONS_PER_TOPIC)})
        while seen < events:
            seen += sum(map(len, consumer.poll(0.5).values()))
            _check_patience(begun)
        return events / (monotonic() - begun)


def _load(kafka: KafkaSettings, warehouse: WarehouseSettings, events: int) -> float:
    loader, stop = Loader(kafka, warehouse), Event()
    thread = Thread(target=loader.run, args=(stop,))
    begun = monotonic()
    thread.start()
    try:
        while loader.loaded < events:
            thread.join(0.02)
            _check_patience(begun)
        return events / (monotonic() - begun)
    finally:
        stop.set()
        thread.join()


def _check_patience(begun: float) -> None:
    if monotonic() - begun > _PATIENCE_SECONDS:
        raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} seconds")
