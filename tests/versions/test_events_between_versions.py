"""F-5: events of the version before are read by this one, and the other way round; what is unknown waits."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from deltalake import DeltaTable

from api.db.migrate import upgrade
from bus.partitioner import partition_of
from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord
from contracts import generate
from contracts.events.deals import DealEvent
from contracts.events.registry import EVENTS, parse
from contracts.settings import KafkaSettings
from contracts.topics import key_of
from ingest.loader import Loader
from ingest.relay import Relay
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.writers import insert_event, new_id, relay_settings, running
from tests.versions.conftest import OlderTree

_EXAMPLES = Path(generate.__file__).parent / "examples"
_UNKNOWN = "deal.exploded"

_READ_ALL = """
import json, sys
from contracts.events.registry import UnreadableEventError, parse
def read(message):
    try:
        return json.loads(parse(message).model_dump_json())
    except UnreadableEventError as error:
        return str(error)
print(json.dumps([read(message) for message in json.load(sys.stdin)]))
"""


def _examples(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def test_f5_this_version_reads_every_event_of_the_version_before(version_before: OlderTree) -> None:
    examples = _examples(version_before.folder / "contracts" / "examples")
    assert len(examples) >= 29
    assert [str(parse(message).id) for message in examples.values()] == [item["id"] for item in examples.values()]


def test_f5_golden_examples_stay_as_they_were(version_before: OlderTree) -> None:
    before, now = _examples(version_before.folder / "contracts" / "examples"), _examples(_EXAMPLES)
    assert {name: now.get(name) for name in before} == before


def test_f5_the_version_before_reads_what_this_one_writes(version_before: OlderTree) -> None:
    known = set(_examples(version_before.folder / "contracts" / "examples"))
    written = _examples(_EXAMPLES)
    written["deal.created.v99"] = {**written["deal.created.v1"], "version": 99}
    read = json.loads(version_before.run(_READ_ALL, text=json.dumps(list(written.values()))))
    for (name, message), seen in zip(written.items(), read, strict=True):
        if name in known:
            assert seen == message
        else:
            assert "unknown event type" in seen


@contextmanager
def _older_spine(tree: OlderTree, database: Database, broker: RunningBroker, folder: Path) -> Iterator[None]:
    """Relay and loader of the version before, at work."""
    settings = {
        "SLUICE_DATABASE_RELAY_URL": database.relay_url,
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "SLUICE_WAREHOUSE_URL": f"duckdb://{folder / 'warehouse'}",
    }
    processes = [tree.process(name, settings, folder) for name in ("relay", "loader")]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.stop()


def _raw(folder: Path) -> pl.DataFrame:
    table = folder / "warehouse" / "raw" / "events"
    columns = ["event_id", "aggregate_id", "type", "version", "data", "epoch", "topic", "partition", "offset"]
    if not DeltaTable.is_deltatable(str(table)):
        return pl.DataFrame(schema=columns)
    return pl.read_delta(str(table), columns=columns)


def _wait_until_raw_has(folder: Path, ids: set[str]) -> None:
    eventually(lambda: set(_raw(folder)["event_id"]) >= ids, seconds=120, what=f"raw has {len(ids)} events")


def _send_as_a_newer_relay(broker: RunningBroker, epoch: str) -> tuple[str, str]:
    """An event of an unknown type in the topic; its id, and its data as text."""
    message = json.loads((_EXAMPLES / "deal.deleted.v1.json").read_text())
    event_id, aggregate_id, data = str(new_id()), str(new_id()), '{"deep":{"é":1.50},"note":null}'
    message |= {"id": event_id, "aggregate_id": aggregate_id, "type": _UNKNOWN}
    del message["data"]
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)[:-1] + f',"data":{data}}}'
    key = key_of(message["organization_id"], aggregate_id)
    record = OutgoingRecord(DealEvent.topic, partition_of(key), key, text.encode(), headers=[("epoch", epoch.encode())])
    with closing(KafkaRecordProducer(KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers))) as producer:
        producer.send_all([record])
    return event_id, data


@pytest.mark.slow
def test_f5_o5_what_the_version_before_does_not_know_waits_for_the_upgrade_and_nothing_is_lost(
    older_database: Database,
    version_before: OlderTree,
    fresh_broker: RunningBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new_kind, other = new_id(), new_id()
    with psycopg.connect(older_database.app_url) as connection:
        first = insert_event(connection, new_kind, 1)
        unknown = insert_event(connection, new_kind, 2, kind=_UNKNOWN)
        behind = insert_event(connection, new_kind, 3)
        elsewhere = insert_event(connection, other, 1)
    with _older_spine(version_before, older_database, fresh_broker, tmp_path):
        _wait_until_raw_has(tmp_path, {str(first), str(elsewhere)})
        sent, data = _send_as_a_newer_relay(fresh_broker, _raw(tmp_path)["epoch"][0])
        _wait_until_raw_has(tmp_path, {sent})
    loaded = _raw(tmp_path)
    assert set(loaded["event_id"]) == {str(first), str(elsewhere), sent}
    assert loaded.filter(pl.col("event_id") == sent)["data"].to_list() == [data]

    monkeypatch.setitem(EVENTS, (_UNKNOWN, 1), EVENTS["deal.deleted", 1])
    upgrade(older_database.owner_url)
    database, kafka, warehouse = relay_settings(older_database, fresh_broker, f"duckdb://{tmp_path / 'warehouse'}")
    with (
        running(lambda stop: Relay(database, kafka, warehouse).run(stop)),
        running(lambda stop: Loader(kafka, warehouse, database).run(stop)),
    ):
        _wait_until_raw_has(tmp_path, {str(unknown), str(behind)})
    rows = _raw(tmp_path)
    assert sorted(rows["event_id"]) == sorted([str(first), str(unknown), str(behind), str(elsewhere), sent])
    one_aggregate = rows.filter(pl.col("aggregate_id") == str(new_kind)).sort("epoch", "offset")
    assert one_aggregate["event_id"].to_list()[-3:] == [str(first), str(unknown), str(behind)]
