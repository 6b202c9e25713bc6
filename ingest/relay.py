"""The relay: committed events from PostgreSQL to Kafka, in the order of each aggregate, none left behind.

An event is pending until the broker has confirmed it, so a crash at any point means at most that it is sent twice.
Several relays share the work by shards. What is down is waited for; what cannot be sent is parked with its reason.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from threading import Event as StopEvent
from time import monotonic
from uuid import UUID

import psycopg

from bus.producer import KafkaRecordProducer
from bus.records import Partition, TransportError
from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from ingest.amnesia import establish_epoch
from ingest.backoff import Backoff
from ingest.epoch import EpochTopic
from ingest.heartbeat import Heartbeat
from ingest.outbox import Outbox
from ingest.publishing import Publisher
from ingest.sinks import open_sink
from ingest.sinks.interface import SinkUnavailableError

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_UPKEEP_SECONDS = 2.0


def run(
    stop: StopEvent,
    *,
    database: RelayDatabaseSettings | None = None,
    kafka: KafkaSettings | None = None,
    warehouse: WarehouseSettings | None = None,
) -> None:
    """Relay events until `stop` is set, then finish the batch. Settings come from the environment unless given."""
    relay = Relay(database or RelayDatabaseSettings(), kafka or KafkaSettings(), warehouse or WarehouseSettings())
    relay.run(stop)


@dataclass
class Relay:
    """One relay process. `batch_size` is how many events go out between two looks at the database."""

    database: RelayDatabaseSettings
    kafka: KafkaSettings
    warehouse: WarehouseSettings
    batch_size: int = 2_000

    def __post_init__(self) -> None:
        self._url = self.database.database_relay_url.get_secret_value()
        self._heartbeat = Heartbeat("relay", self._url)
        self._backoff = Backoff()
        self._published = 0

    def run(self, stop: StopEvent) -> None:
        """Relay until `stop` is set; whatever is down is tried again with growing pauses."""
        while not stop.is_set():
            try:
                self._session(stop)
            except psycopg.Error as error:
                self._pause(stop, "database unavailable", error)
            except TransportError as error:
                self._pause(stop, "broker unavailable", error)
            except SinkUnavailableError as error:
                self._pause(stop, "warehouse unavailable", error)
        self._heartbeat.say("stopped", published=self._published)
        self._heartbeat.close()

    def _pause(self, stop: StopEvent, state: str, error: Exception) -> None:
        self._heartbeat.say(state, error=str(error), published=self._published)
        stop.wait(self._backoff.next_delay())

    def _session(self, stop: StopEvent) -> None:
        """Work over one set of connections until one of them breaks."""
        with (
            closing(Outbox(self._url)) as outbox,
            closing(EpochTopic.connect(self.kafka)) as topic,
            closing(KafkaRecordProducer(self.kafka)) as producer,
        ):
            marker = establish_epoch(outbox.connection, topic, self._stored_offsets)
            publisher = Publisher(outbox, producer, topic, marker, self.batch_size)
            upkeep_at = 0.0
            while not stop.is_set():
                if monotonic() >= upkeep_at:
                    self._upkeep(outbox, publisher)
                    upkeep_at = monotonic() + _UPKEEP_SECONDS
                outcome = publisher.publish_batch()
                self._backoff.reset()
                self._published += outcome.published
                if outcome.parked:
                    logger.warning("parked %s events that cannot be published", outcome.parked)
                if outcome.published == 0:
                    outbox.wait(_POLL_SECONDS)

    def _upkeep(self, outbox: Outbox, publisher: Publisher) -> None:
        outbox.balance_shards()
        if not publisher.topic.is_intact(publisher.marker):
            raise TransportError("the broker has lost its data")
        backlog = outbox.backlog()
        self._heartbeat.say(
            "running",
            published=self._published,
            pending=backlog.pending,
            oldest_pending_seconds=round(backlog.oldest_seconds, 3),
            parked=backlog.parked,
            shards=len(outbox.shards),
            epoch=str(publisher.marker.epoch),
        )

    def _stored_offsets(self, epoch: UUID) -> Mapping[Partition, int]:
        with closing(open_sink(self.warehouse)) as sink:
            return sink.offsets(epoch)
