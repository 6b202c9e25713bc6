"""dlt into DuckDB, its default path (dictionaries) and its Arrow path, in a process of its own.

Both are fed by the same plain kafka-python consumer from the same topic, or from memory with everything parsed before
the clock starts. dlt is needed by nothing else, so the benchmark that starts this does without it where it is absent.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from time import monotonic
from typing import Any

import dlt
import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition
from pydantic_core import from_json

from contracts.events.deals import DealEvent
from contracts.topics import PARTITIONS_PER_TOPIC

_CHUNK = 10_000


def _values(bootstrap_servers: str, count: int) -> Iterator[list[bytes]]:
    """Values of the topic's first records, as many as a poll brings."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        max_poll_records=_CHUNK,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    places = [TopicPartition(DealEvent.topic, number) for number in range(PARTITIONS_PER_TOPIC)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    left = count
    while left > 0:
        values = [record.value for records in consumer.poll(500).values() for record in records][:left]
        left -= len(values)
        if values:
            yield values
    consumer.close()


def _dictionaries(values: list[bytes]) -> list[dict[str, Any]]:
    return [from_json(value) for value in values]


def _table(values: list[bytes]) -> pa.Table:
    rows = _dictionaries(values)
    for row in rows:
        row["data"] = json.dumps(row["data"])
    return pa.Table.from_pylist(rows)


def _measure(path: str, feed: str, count: int, bootstrap_servers: str) -> float:
    """Events a second that dlt brings into a new DuckDB file."""
    parse = _table if path == "arrow" else _dictionaries
    chunks: Iterator[Any] = (parse(values) for values in _values(bootstrap_servers, count))
    if feed == "memory":
        chunks = iter(list(chunks))
    with tempfile.TemporaryDirectory(prefix="sluice-dlt-") as folder:
        destination = dlt.destinations.duckdb(f"{folder}/events.duckdb")
        pipeline = dlt.pipeline("events", destination=destination, dataset_name="raw", pipelines_dir=folder)
        begun = monotonic()
        pipeline.run(dlt.resource(chunks, name="events"))
        seconds = monotonic() - begun
        with pipeline.sql_client() as client:
            found = client.execute_sql("select count(*) from events")
    if found is None or found[0][0] != count:
        raise RuntimeError(f"dlt loaded {found}, not {count}")
    return count / seconds


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
