"""Each event delivered one to five times, in any order, some of it a month late: the marts are those of plain order.

From the topics on everything is real: the loader, both warehouses, the builds between the deliveries.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.memory import MemoryBroker
from bus.records import Message, Partition
from contracts.settings import KafkaSettings, WarehouseSettings
from contracts.topics import PARTITIONS_PER_TOPIC, topic_of
from ingest.epoch import EPOCH_HEADER, EpochTopic
from ingest.loader import Loader, Transport
from orchestration.build.parts import build
from tests.dbt_project.reading import Row, all_marts
from tests.event_history import AnyEvent, days
from tests.eventually import eventually
from tests.ingest.writers import running
from tests.random_history import random_history
from tests.warehouse_builder import EPOCH, build_warehouse

_HISTORY = random_history(31, deals=15)
_SLICES = 3


@pytest.fixture(scope="module")
def expected(new_warehouse: Callable[[str], WarehouseSettings], target_path: Path) -> dict[str, list[Row]]:
    """The marts of the history delivered once and in order."""
    warehouse = new_warehouse("duckdb")
    build_warehouse(warehouse, _HISTORY, target_path=target_path)
    return all_marts(warehouse)


def _deliveries(rng: random.Random) -> list[list[AnyEvent]]:
    """The copies of all events, cut by time of arrival: 5 % come up to 30 days late, the others within an hour."""
    arriving = []
    for event in _HISTORY:
        late = rng.random() < 0.05
        for copy in range(rng.randint(1, 5)):
            delay = days(rng.uniform(0, 30)) if late or copy else days(rng.uniform(0, 1 / 24))
            arriving.append((event.recorded_at + delay, rng.random(), event))
    ordered = [event for _, _, event in sorted(arriving, key=lambda one: one[:2])]
    size = len(ordered) // _SLICES + 1
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _publish(broker: MemoryBroker, events: list[AnyEvent], rng: random.Random) -> None:
    """Put events into any partition of their topic."""
    for event in events:
        place = Partition(topic_of(event.aggregate_type), rng.randrange(PARTITIONS_PER_TOPIC))
        log = broker.logs.setdefault(place, [])
        envelope = event.model_dump(mode="json")
        value = json.dumps({**envelope, "data": envelope.pop("data")}, separators=(",", ":")).encode()
        log.append(Message(*place, len(log), b"key", value, ((EPOCH_HEADER, str(EPOCH).encode()),)))


def _load(broker: MemoryBroker, warehouse: WarehouseSettings, records: int) -> None:
    def topic() -> EpochTopic:
        return EpochTopic(broker.admin(), broker.consumer(), broker.producer())

    loader = Loader(KafkaSettings(), warehouse, connect=lambda _: Transport(topic(), broker.consumer()))
    topic().write(EPOCH)
    with running(loader.run):
        eventually(lambda: loader.loaded == records, seconds=60, what="the delivery is loaded")
    assert loader.progress.rejected == 0


@pytest.mark.slow  # three builds each; `test_equal_results` has the short form
def test_w2_copies_disorder_and_lateness_change_no_mart(
    warehouse: WarehouseSettings, target_path: Path, expected: dict[str, list[Row]]
) -> None:
    rng, broker = random.Random(17), MemoryBroker()
    deliveries = _deliveries(rng)
    assert sum(map(len, deliveries)) > 2 * len(_HISTORY)
    for events in deliveries:
        _publish(broker, events, rng)
        _load(broker, warehouse, len(events))
        build(warehouse, target_path=target_path)
    built = all_marts(warehouse)
    for mart, rows in expected.items():
        assert built[mart] == rows, mart
