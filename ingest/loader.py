"""The loader: events from Kafka into the warehouse's raw relation, each published record exactly once.

Only the warehouse knows how far it is: rows and next offsets are one commit, compared with what this loader began
from. So a crash, a replay or a second loader cannot double a row. Of a new epoch everything is read from the start.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event as StopEvent
from time import monotonic

from pydantic import ValidationError

from bus.consumer import KafkaRecordConsumer
from bus.dead_letter import DeadLetters, InvalidRatioBreaker, TooManyInvalidError
from bus.records import Message, OffsetLostError, Partition, TransportError
from bus.topics import EVENT_TOPICS, TOPICS
from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from ingest.backoff import Backoff
from ingest.decoding import decode
from ingest.epoch import EpochTopic, Marker
from ingest.heartbeat import Heartbeat
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetConflictError, OffsetRange, RawSink, SinkUnavailableError

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.3
_FLUSH_RECORDS = 20_000
_UPKEEP_SECONDS = 2.0
_WAIT_FOR_EPOCH_SECONDS = 0.3
_COMPACT_EVERY = 200  # commits; each leaves one small file


class _EpochOverError(Exception):
    """The broker no longer holds the epoch that is being loaded."""


def run(
    stop: StopEvent,
    *,
    kafka: KafkaSettings | None = None,
    warehouse: WarehouseSettings | None = None,
    database: RelayDatabaseSettings | None = None,
) -> None:
    """Load events until `stop` is set, then write what was read. Settings come from the environment unless given;
    without a database the loader works all the same, but `sluice status` does not hear of it."""
    Loader(kafka or KafkaSettings(), warehouse or WarehouseSettings(), database or _optional_database()).run(stop)


def _optional_database() -> RelayDatabaseSettings | None:
    try:
        return RelayDatabaseSettings()
    except ValidationError:
        return None


@dataclass
class Buffer:
    """Records that were read and not yet written; their offsets have no gaps."""

    messages: list[Message] = field(default_factory=list)
    ranges: dict[Partition, OffsetRange] = field(default_factory=dict)
    since: float = 0.0

    def add(self, polled: Mapping[Partition, Sequence[Message]], positions: dict[Partition, int]) -> None:
        """Take records over and move `positions` behind them."""
        if polled and not self.messages:
            self.since = monotonic()
        for place, messages in polled.items():
            start = self.ranges[place].start if place in self.ranges else positions.get(place, 0)
            positions[place] = messages[-1].offset + 1
            self.ranges[place] = OffsetRange(start, positions[place])
            self.messages.extend(messages)

    def is_due(self) -> bool:
        """Whether it should be written now."""
        if not self.messages:
            return False
        return len(self.messages) >= _FLUSH_RECORDS or monotonic() - self.since >= _FLUSH_SECONDS

    def clear(self) -> None:
        """Forget what was written."""
        self.messages, self.ranges = [], {}


@dataclass
class Loader:
    """One loader process. `loaded` counts the rows it has committed."""

    kafka: KafkaSettings
    warehouse: WarehouseSettings
    database: RelayDatabaseSettings | None = None

    def __post_init__(self) -> None:
        url = None if self.database is None else self.database.database_relay_url.get_secret_value()
        self._heartbeat = Heartbeat("loader", url)
        self._backoff = Backoff()
        self._breaker = InvalidRatioBreaker()
        self.loaded = 0
        self._rejected = 0
        self._commits = 0
        self._through: str | None = None

    def run(self, stop: StopEvent) -> None:
        """Load until `stop` is set; whatever is down is tried again with growing pauses."""
        while not stop.is_set():
            try:
                self._session(stop)
            except (_EpochOverError, OffsetConflictError) as error:
                logger.info("starting again from the warehouse's offsets: %s", error)
                stop.wait(self._backoff.next_delay())
            except OffsetLostError as error:
                self._pause(stop, "records lost", f"{error}; `sluice rebuild` takes them from PostgreSQL")
            except TransportError as error:
                self._pause(stop, "broker unavailable", str(error))
            except SinkUnavailableError as error:
                self._pause(stop, "warehouse unavailable", str(error))
            except TooManyInvalidError as error:
                self._pause(stop, "paused", str(error))
        self._say("stopped")
        self._heartbeat.close()

    def _pause(self, stop: StopEvent, state: str, error: str) -> None:
        self._say(state, error)
        stop.wait(self._backoff.next_delay())

    def _say(self, state: str, error: str | None = None) -> None:
        self._heartbeat.say(
            state, error=error, loaded=self.loaded, rejected=self._rejected, recorded_through=self._through
        )

    def _session(self, stop: StopEvent) -> None:
        """Load over one set of connections until one of them breaks or the epoch ends."""
        with (
            closing(open_sink(self.warehouse)) as sink,
            closing(EpochTopic.connect(self.kafka)) as topic,
            closing(KafkaRecordConsumer(self.kafka)) as consumer,
        ):
            marker = topic.read()
            if marker is None:
                self._say("waiting", "no relay has declared the broker's epoch yet")
                stop.wait(_WAIT_FOR_EPOCH_SECONDS)
                return
            stored = sink.offsets(marker.epoch)
            positions = {place: stored.get(place, 0) for place in _places()}
            consumer.assign(positions)
            self._load(stop, sink=sink, topic=topic, consumer=consumer, marker=marker, positions=positions)

    def _load(
        self,
        stop: StopEvent,
        *,
        sink: RawSink,
        topic: EpochTopic,
        consumer: KafkaRecordConsumer,
        marker: Marker,
        positions: dict[Partition, int],
    ) -> None:
        buffer = Buffer()
        upkeep_at = 0.0
        while not stop.is_set():
            if monotonic() >= upkeep_at:
                if not topic.is_intact(marker):
                    raise _EpochOverError("the broker has lost its data")
                self._say("running")
                upkeep_at = monotonic() + _UPKEEP_SECONDS
            buffer.add(consumer.poll(0.05), positions)
            if buffer.is_due():
                self._flush(buffer, sink, topic, marker)
        if buffer.messages:
            self._flush(buffer, sink, topic, marker)

    def _flush(self, buffer: Buffer, sink: RawSink, topic: EpochTopic, marker: Marker) -> None:
        """Write what was read. Dead letters go first: a crash in between stores them twice, never not at all."""
        decoded = decode(buffer.messages, epoch=str(marker.epoch), loaded_at=datetime.now(UTC))
        # left over from an earlier epoch they are no loss; of a newer one they mean that this loader is behind
        if decoded.foreign and topic.read() != marker:
            raise _EpochOverError("records of another epoch arrived")
        if decoded.rejected:
            self._breaker.record(monotonic(), valid=len(decoded.rows), invalid=len(decoded.rejected))
            DeadLetters(topic.producer, "loader").put(decoded.rejected)
            logger.warning("%s unreadable messages went to the dead letters", len(decoded.rejected))
        sink.append(decoded.rows, epoch=marker.epoch, ranges=buffer.ranges)
        self._backoff.reset()
        self.loaded += len(decoded.rows)
        self._rejected += len(decoded.rejected)
        if len(decoded.rows):
            self._through = str(decoded.rows["recorded_at"].max())
        buffer.clear()
        self._commits += 1
        if self._commits % _COMPACT_EVERY == 0:
            sink.compact()


def _places() -> list[Partition]:
    return [Partition(topic, number) for topic in EVENT_TOPICS for number in range(TOPICS[topic][0])]
