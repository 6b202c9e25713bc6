"""How many events a second the loader brings into a Delta table exactly once, beside a consumer that does nothing,
beside dlt, and by two processes instead of one."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from benchmarks.brokers import running_broker
from benchmarks.event_stream import make_records, publish
from benchmarks.loader_process import compare_processes
from benchmarks.result import BenchmarkResult
from bus.consumer import KafkaRecordConsumer
from bus.records import Message, Partition
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings, WarehouseSettings
from contracts.topics import PARTITIONS_PER_TOPIC
from ingest.decoding import decode
from ingest.epoch import EpochTopic
from ingest.loader import Loader
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetRange

_EVENTS = 100_000
_DLT_DEFAULT_EVENTS = 10_000  # it is slow
_PATIENCE_SECONDS = 300.0
_PLACES = [Partition(DealEvent.topic, number) for number in range(PARTITIONS_PER_TOPIC)]


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Publish `events` to a broker, then read them raw, load them, let dlt load them: each from the start."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name, running_broker() as broker:
        folder, kafka = Path(name), broker.kafka
        folder.chmod(0o755)
        epoch = UUID(str(uuid7()))
        with closing(EpochTopic.connect(kafka)) as topic:
            topic.write(epoch)
        publish_rate = publish(kafka, make_records(events, epoch))
        limit = _consume_raw(kafka, events)
        figure = _load(kafka, folder / "one", events)
        details: dict[str, Any] = {
            "broker": broker.description,
            "events": events,
            "published per second": round(publish_rate),
            **_parts(kafka, folder / "parts", epoch, events),
            **_dlt(kafka, events, figure),
            **compare_processes(kafka, folder, epoch, events),
        }
    return BenchmarkResult(
        name="loader",
        figure=figure,
        unit="events/s",
        limit=limit,
        limit_description="kafka-python consumer that drops what it reads, same run",
        details=details,
    )


def _consume_raw(kafka: KafkaSettings, events: int) -> float:
    """kafka-python as it is, with crc32c."""
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.kafka_bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        max_poll_records=10_000,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    places = [TopicPartition(*place) for place in _PLACES]
    begun, seen = monotonic(), 0
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    while seen < events:
        seen += sum(map(len, consumer.poll(500).values()))
        _check_patience(begun)
    rate = events / (monotonic() - begun)
    consumer.close()
    return rate


def _warehouse(folder: Path) -> WarehouseSettings:
    return WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder}"))


def _load(kafka: KafkaSettings, folder: Path, events: int) -> float:
    loader, stop = Loader(kafka, _warehouse(folder)), Event()
    thread = Thread(target=loader.run, args=(stop,))
    begun = monotonic()
    thread.start()
    try:
        while loader.loaded < events:
            thread.join(0.02)
            _check_patience(begun)
        rate = events / (monotonic() - begun)
    finally:
        stop.set()
        thread.join()
    _check_rows(folder, events)
    return rate


def _check_rows(folder: Path, events: int) -> None:
    with closing(open_sink(_warehouse(folder))) as sink:
        rows = sum(group.count for group in sink.group_sums().values())
    if rows != events:
        raise RuntimeError(f"{rows} distinct events were loaded, not {events}")


def _parts(kafka: KafkaSettings, folder: Path, epoch: UUID, events: int) -> dict[str, Any]:
    """What each part of the loader does alone: reading, decoding, committing."""
    messages: list[Message] = []
    with closing(KafkaRecordConsumer(kafka)) as consumer:
        begun = monotonic()
        consumer.assign(dict.fromkeys(_PLACES, 0))
        while len(messages) < events:
            for polled in consumer.poll(0.5).values():
                messages.extend(polled)
            _check_patience(begun)
        read = events / (monotonic() - begun)
    begun = monotonic()
    rows = decode(messages, epoch=str(epoch), loaded_at=datetime.now(UTC)).rows
    decoded = monotonic()
    with closing(open_sink(_warehouse(folder))) as sink:
        opened = monotonic()
        sink.append(rows, epoch=epoch, ranges={_PLACES[0]: OffsetRange(0, events)})
    committed = monotonic() - opened
    return {
        "reading alone, events/s": round(read),
        "decoding alone, events/s": round(events / (decoded - begun)),
        "committing alone, events/s": round(events / committed),
        "from memory (decode, then commit), events/s": round(events / (decoded - begun + committed)),
    }


def _dlt(kafka: KafkaSettings, events: int, figure: float) -> dict[str, Any]:
    if importlib.util.find_spec("dlt") is None:
        return {"dlt": "not installed (it is a development dependency)"}
    details: dict[str, Any] = {}
    for path, count in (("default", min(events, _DLT_DEFAULT_EVENTS)), ("arrow", events)):
        for feed in ("topic", "memory"):
            rate = _run_dlt(path, feed, count, kafka)
            details[f"dlt {path} path from {feed}, events/s"] = round(rate)
            if feed == "topic":
                details[f"loader / dlt {path} path, both from the topic"] = round(figure / rate, 2)
    return details


def _run_dlt(path: str, feed: str, count: int, kafka: KafkaSettings) -> float:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "benchmarks.dlt_paths"),
            *(path, feed, str(count), kafka.kafka_bootstrap_servers),
        ],
        env={"PATH": os.defpath, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"dlt failed: {done.stderr[-2_000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _check_patience(begun: float) -> None:
    if monotonic() - begun > _PATIENCE_SECONDS:
        raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} seconds")
