"""Relay and loader between a PostgreSQL and the cluster, eight writers, and the question what of theirs arrived."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import psycopg
from deltalake import DeltaTable
from pydantic import SecretStr

from contracts.settings import KafkaSettings, RelayDatabaseSettings, RelaySettings, WarehouseSettings
from ingest.loader import Loader
from ingest.reconcile import reconcile
from ingest.relay import Relay
from tests.conftest import Database, RunningCluster
from tests.eventually import eventually
from tests.ingest.topic_reader import first_deliveries, read_events
from tests.ingest.writers import count, insert_event, new_id, running
from tests.kafka_cluster.cluster import KafkaCluster

WRITERS = 8

_STATE = """
select count(*) from process_status
where process = '{}' and state = '{}' and coalesce(detail ->> 'error', '') ~ '{}'
"""


@dataclass
class Spine:
    """What the events of one database pass through. `kafka` says how relay and loader sign in."""

    cluster: KafkaCluster
    database: Database
    folder: Path
    kafka: KafkaSettings

    def __post_init__(self) -> None:
        self.warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{self.folder / 'warehouse'}"))
        self._relay_database = RelayDatabaseSettings(database_relay_url=SecretStr(self.database.relay_url))

    @contextmanager
    def relay(self, *, batch_size: int = 500) -> Iterator[None]:
        """A relay, for as long as the block lasts."""
        settings = RelaySettings(relay_batch_size=batch_size)
        relay = Relay(self._relay_database, self.kafka, self.warehouse, settings)
        with running(relay.run):
            yield

    @contextmanager
    def loader(self) -> Iterator[None]:
        """A loader, for as long as the block lasts."""
        with running(Loader(self.kafka, self.warehouse, self._relay_database).run):
            yield

    @contextmanager
    def writers(self, *, pause: float = 0.05) -> Iterator[None]:
        """Eight writers, each with aggregates of its own, that commit one event after the other."""
        stop = Event()
        threads = [Thread(target=_write, args=(self.database.app_url, seed, stop, pause)) for seed in range(WRITERS)]
        with ExitStack() as ends:
            for thread in threads:
                thread.start()
                ends.callback(thread.join)
            ends.callback(stop.set)
            yield

    def written(self) -> int:
        """Events in PostgreSQL."""
        return count(self.database.relay_url, "select count(*) from event_log")

    def published(self) -> int:
        """Events that the relay knows to be in Kafka."""
        return count(self.database.relay_url, "select count(*) from outbox where published_at is not null")

    def epochs(self) -> int:
        """How often the broker began anew, as far as relays noticed."""
        return count(self.database.relay_url, "select count(*) from transport_epoch")

    def wait_until_said(self, process: str, state: str, words: str = "") -> None:
        """Wait until a process reports a state, and these words."""
        query = _STATE.format(process, state, words)
        eventually(lambda: count(self.database.relay_url, query) > 0, what=f"the {process} says {state!r}, {words!r}")

    def wait_for_more(self, events: int = 200) -> None:
        """Wait until so many more events were published."""
        enough = self.published() + events
        eventually(lambda: self.published() >= enough, what=f"{events} more events are published")

    def is_complete(self) -> bool:
        """Whether raw holds all that was written."""
        report = reconcile(self.database.relay_url, self.warehouse)
        return report.is_clean and report.in_flight == 0

    def wait_until_complete(self) -> None:
        """Wait until raw holds all that was written."""
        eventually(self.is_complete, seconds=180, what="raw is complete")

    def rows(self) -> int:
        """Rows in raw."""
        folder = f"{urlsplit(self.warehouse.warehouse_url.get_secret_value()).path}/raw/events"
        return int(DeltaTable(folder).count()) if DeltaTable.is_deltatable(folder) else 0

    def assert_nothing_lost_doubled_or_reordered(self) -> None:
        """Every event is in the topics, an aggregate's in order, and raw has each record of the topics once."""
        written = self.written()
        records = read_events(RunningCluster(self.cluster), at_least=written)
        deliveries = first_deliveries(records)
        assert sum(map(len, deliveries.values())) == written, "lost"
        wrong = {key: versions for key, versions in deliveries.items() if versions != list(range(1, len(versions) + 1))}
        assert not wrong, "out of order"
        assert self.rows() == len(records), "raw does not have each record once"


def _write(url: str, seed: int, stop: Event, pause: float) -> None:
    generator = random.Random(seed)
    versions = {new_id(): 0 for _ in range(5)}
    with psycopg.connect(url) as connection:
        while not stop.wait(pause):
            aggregate_id = generator.choice(list(versions))
            versions[aggregate_id] += 1
            with connection.transaction():
                insert_event(connection, aggregate_id, versions[aggregate_id])
