"""The loader: events from Kafka into the warehouse's raw relation, each published record exactly once.

Only the warehouse knows how far it is: rows and next offsets are one commit, compared with what this loader began
from. So a crash, a replay or a loader that stood still cannot double a row. Of a new epoch everything is read from the
start. Several loaders share the partitions by leases.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event as StopEvent
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from pydantic import ValidationError

from bus.consumer import KafkaRecordConsumer
from bus.dead_letter import InvalidRatioBreaker, TooManyInvalidError
from bus.records import Consumer, OffsetLostError, TransportError
from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from contracts.warehouse import duckdb_folder
from ingest.backoff import Backoff
from ingest.epoch import EpochTopic
from ingest.event_log import RewriteUnderWayError, sole_rewriter
from ingest.heartbeat import Heartbeat
from ingest.leases import IDLE_SECONDS, SharedWork
from ingest.loading import Progress, Session, SessionOverError
from ingest.outbox import newest_epoch
from ingest.rebuild import lacks_history, replace_raw
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetConflictError, SinkUnavailableError

logger = logging.getLogger(__name__)

_WAIT_FOR_EPOCH_SECONDS = 0.3


def run(stop: StopEvent) -> None:
    """Load events until `stop` is set, then write what was read. Settings come from the environment; without those of
    the database the loader works all the same, alone, but `sluice status` does not hear of it."""
    try:
        database = RelayDatabaseSettings()
    except ValidationError:
        database = None
    Loader(KafkaSettings(), WarehouseSettings(), database).run(stop)


@dataclass
class Transport:
    """A loader's connections to the broker."""

    topic: EpochTopic
    consumer: Consumer

    @classmethod
    def connect(cls, settings: KafkaSettings) -> "Transport":
        """Connections of its own.

        Raises:
            TransportError: no broker.
        """
        topic = EpochTopic.connect(settings)
        try:
            return cls(topic, KafkaRecordConsumer(settings))
        except TransportError:
            topic.close()
            raise

    def close(self) -> None:
        """Give up the connections."""
        self.topic.close()
        self.consumer.close()


@dataclass
class Loader:
    """One loader process. `progress` counts what it has committed; after `lease_seconds` of silence others load."""

    kafka: KafkaSettings
    warehouse: WarehouseSettings
    database: RelayDatabaseSettings | None = None
    connect: Callable[[KafkaSettings], Transport] = Transport.connect
    lease_seconds: int = IDLE_SECONDS

    def __post_init__(self) -> None:
        url = None if self.database is None else self.database.database_relay_url.get_secret_value()
        self._url = url
        self._heartbeat = Heartbeat("loader", url)
        self._backoff = Backoff()
        self._breaker = InvalidRatioBreaker()
        self._leases = SharedWork(url, work=f"loader of {_identity(self.warehouse)}", idle_seconds=self.lease_seconds)
        self.progress = Progress()
        self._commits_seen = 0

    @property
    def loaded(self) -> int:
        """Rows committed so far."""
        return self.progress.loaded

    def run(self, stop: StopEvent) -> None:
        """Load until `stop` is set; whatever is down is tried again with growing pauses."""
        while not stop.is_set():
            try:
                self._session(stop)
            except (SessionOverError, OffsetConflictError) as error:
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
        self._leases.close()
        self._say("stopped")
        self._heartbeat.close()

    def _pause(self, stop: StopEvent, state: str, error: str) -> None:
        # whoever cannot load now must not keep others from it
        self._leases.close()
        self._say(state, error)
        stop.wait(self._backoff.next_delay())

    def _say(self, state: str, error: str | None = None) -> None:
        # the first of several loaders bears the plain name
        self._heartbeat.process = f"loader-{self._leases.member + 1}" if self._leases.member else "loader"
        self._heartbeat.say(state, error=error, **self.progress.describe(datetime.now(UTC)))

    def _session(self, stop: StopEvent) -> None:
        with closing(open_sink(self.warehouse)) as sink, closing(self.connect(self.kafka)) as transport:
            marker = transport.topic.read()
            if marker is None:
                self._say("waiting", "no relay has declared the broker's epoch yet")
                stop.wait(_WAIT_FOR_EPOCH_SECONDS)
                return
            if not self._is_newest(marker.epoch):
                self._say("waiting", "the broker's epoch is over, and no relay has declared the next one yet")
                stop.wait(_WAIT_FOR_EPOCH_SECONDS)
                return
            if self._url is not None and lacks_history(self._url, sink, marker.epoch):
                self._say("rebuilding", "the warehouse holds no event: taking them from PostgreSQL")
                logger.warning("the warehouse lost its events: %s taken from PostgreSQL", self._heal(self._url))
            session = Session(
                sink,
                transport.topic,
                transport.consumer,
                marker,
                self._leases,
                self._breaker,
                self.progress,
                self._run_on,
            )
            session.load(stop)

    def _heal(self, url: str) -> int:
        """Make raw anew; another loader, or a person, may be at it, and then there is nothing left to do."""
        try:
            with sole_rewriter(url), closing(open_sink(self.warehouse)) as sink:
                return replace_raw(url, sink) if sink.holds_nothing() else 0
        except (RewriteUnderWayError, psycopg.Error) as error:
            raise SinkUnavailableError(f"the warehouse lost its events, and they cannot be taken: {error}") from error

    def _is_newest(self, epoch: UUID) -> bool:
        """Whether PostgreSQL, where it can be asked, knows of no newer epoch: after a restore what the broker holds is
        of a future that is no more."""
        if self._url is None:
            return True
        try:
            with psycopg.connect(self._url, connect_timeout=2) as connection:
                return newest_epoch(connection) in (None, epoch)
        except psycopg.Error:
            return True

    def _run_on(self) -> None:
        if self.progress.commits > self._commits_seen:
            self._backoff.reset()
        self._commits_seen = self.progress.commits
        self._say("running")


def _identity(warehouse: WarehouseSettings) -> str:
    """The warehouse without who asks: loaders of one warehouse share its partitions, those of two do not."""
    url = warehouse.warehouse_url.get_secret_value()
    if duckdb_folder(url) is not None:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}:{parts.port or ''}{parts.path}"
