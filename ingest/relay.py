"""The relay: committed events from PostgreSQL to Kafka, in the order of each aggregate, none left behind.

An event is pending until the broker has confirmed it, so a crash at any point means at most that it is sent twice.
Several relays share the work by shards. What is down is waited for; what cannot be sent is parked with its reason; when
too much of it cannot be sent, nothing more is parked and a person is asked for.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event as StopEvent
from time import monotonic
from uuid import UUID

import psycopg

from bus.dead_letter import InvalidRatioBreaker, TooManyInvalidError
from bus.producer import KafkaRecordProducer
from bus.records import Partition, TransportError
from contracts.events.registry import EVENTS
from contracts.settings import KafkaSettings, RelayDatabaseSettings, RelaySettings, WarehouseSettings
from ingest.backoff import Backoff
from ingest.epoch import RESTORED_NOTICE, EpochTopic, Marker, establish_epoch, needs_repair
from ingest.heartbeat import Heartbeat
from ingest.outbox import Outbox, release_readable
from ingest.publishing import Publisher
from ingest.sinks import open_sink
from ingest.sinks.interface import SinkUnavailableError

logger = logging.getLogger(__name__)

#: A notice of new events comes before that; what was released or whose lease came over waits for it.
_POLL_SECONDS = 1.0
_UPKEEP_SECONDS = 2.0
_RETENTION_SECONDS = 60.0


def run(stop: StopEvent) -> None:
    """Relay events until `stop` is set, then finish the batch. Settings come from the environment."""
    Relay(RelayDatabaseSettings(), KafkaSettings(), WarehouseSettings(), RelaySettings()).run(stop)


@dataclass
class Relay:
    """One relay process. `published` counts the events that it has noted as published."""

    database: RelayDatabaseSettings
    kafka: KafkaSettings
    warehouse: WarehouseSettings
    settings: RelaySettings = field(default_factory=RelaySettings)

    def __post_init__(self) -> None:
        self._url = self.database.database_relay_url.get_secret_value()
        self._heartbeat = Heartbeat("relay", self._url)
        self._backoff = Backoff()
        self._breaker = InvalidRatioBreaker(max_ratio=self.settings.relay_max_invalid_ratio)
        self._retention_at = 0.0
        self.published = 0

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
            except TooManyInvalidError as error:
                self._pause(stop, "paused", error)
        self._heartbeat.say("stopped", published=self.published)
        self._heartbeat.close()

    def _pause(self, stop: StopEvent, state: str, error: Exception) -> None:
        self._heartbeat.say(state, error=str(error), published=self.published)
        stop.wait(self._backoff.next_delay())

    def _session(self, stop: StopEvent) -> None:
        """Work over one set of connections until one of them breaks."""
        with (
            closing(Outbox(self._url, silence_seconds=self.settings.relay_lease_seconds)) as outbox,
            closing(EpochTopic.connect(self.kafka)) as topic,
            closing(KafkaRecordProducer(self.kafka)) as producer,
        ):
            marker = establish_epoch(outbox.connection, topic, self._stored_offsets)
            released = release_readable(outbox.connection, list(EVENTS))
            if released:
                logger.info("released %s events of types that are known now", released)
            publisher = Publisher(
                outbox, producer, topic, marker, batch_size=self.settings.relay_batch_size, breaker=self._breaker
            )
            upkeep_at = 0.0
            while not stop.is_set():
                if monotonic() >= upkeep_at:
                    self._upkeep(outbox, topic, marker)
                    upkeep_at = monotonic() + _UPKEEP_SECONDS
                outcome = publisher.publish_batch()
                self._backoff.reset()
                self.published += outcome.published
                if outcome.parked:
                    logger.warning("parked %s events that cannot be published", outcome.parked)
                if outcome.published == 0:
                    outbox.wait(_POLL_SECONDS)

    def _upkeep(self, outbox: Outbox, topic: EpochTopic, marker: Marker) -> None:
        outbox.balance_shards()
        if not topic.is_intact(marker):
            raise TransportError("the broker has lost its data")
        if monotonic() >= self._retention_at:
            self._keep_small(outbox, marker.epoch)
            self._retention_at = monotonic() + _RETENTION_SECONDS
        backlog = outbox.backlog()
        self._heartbeat.say(
            "running",
            published=self.published,
            pending=backlog.pending,
            oldest_pending_seconds=round(backlog.oldest_seconds, 3),
            parked=backlog.parked,
            shards=len(outbox.shards),
            epoch=str(marker.epoch),
            warning=RESTORED_NOTICE if needs_repair(outbox.connection) else None,
        )

    def _keep_small(self, outbox: Outbox, epoch: UUID) -> None:
        """Make room for events to come, and let go of what was published long ago and is in the warehouse."""
        outbox.extend()
        before = datetime.now(UTC) - timedelta(hours=self.settings.outbox_retention_hours)
        if not outbox.has_expired(before):  # the warehouse need not be asked what it has
            return
        dropped = outbox.shrink(before=before, epoch=epoch, confirmed=self._stored_offsets(epoch))
        if dropped:
            logger.info("dropped %s partitions of the outbox", dropped)

    def _stored_offsets(self, epoch: UUID) -> Mapping[Partition, int]:
        with closing(open_sink(self.warehouse)) as sink:
            return sink.offsets(epoch)
