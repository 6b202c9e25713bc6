"""One loading session: from the warehouse's offsets on, over one set of connections, until something changes or breaks.

While a batch is decoded and committed in a thread of its own, the next one is read. Which partitions are read follows
the leases and the broker, both looked at every second. Nothing here is remembered between sessions: the next one
begins with what the warehouse says.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event as StopEvent
from threading import Lock
from time import monotonic

from bus.dead_letter import DeadLetters, InvalidRatioBreaker
from bus.records import Consumer, OffsetLostError, Partition
from contracts.topics import EVENT_TOPICS
from ingest.buffer import Buffer
from ingest.decoding import decode
from ingest.epoch import EpochTopic, Marker
from ingest.leases import Share, SharedWork
from ingest.sinks.interface import RawSink

logger = logging.getLogger(__name__)

_UPKEEP_SECONDS = 1.0
#: The same where nothing has come for some time.
_QUIET_UPKEEP_SECONDS, _QUIET_AFTER_SECONDS = 3.0, 10.0
_POLL_SECONDS = 0.05
#: After so long without a record it waits for a hint, or until it looks around again; a stop is noticed soon.
_AWAKE_SECONDS, _LOOK_SECONDS = 2.0, 0.5


class SessionOverError(Exception):
    """What the session began from holds no longer: the next one begins with the warehouse's offsets."""


@dataclass
class Progress:
    """What a loader has done since its start, and how far behind it is. `recorded_through`: newest event loaded."""

    loaded: int = 0
    rejected: int = 0
    commits: int = 0
    behind: int = 0
    partitions: int = 0
    epoch: str | None = None
    recorded_through: datetime | None = None

    def describe(self, now: datetime) -> dict[str, object]:
        """As a report carries it."""
        newest = self.recorded_through
        return {
            "loaded": self.loaded,
            "rejected": self.rejected,
            "records_behind": self.behind,
            "partitions": self.partitions,
            "epoch": self.epoch,
            "recorded_through": None if newest is None else str(newest),
            "newest_age_seconds": None if newest is None else round((now - newest).total_seconds(), 3),
        }


@dataclass
class Session:
    """Loads the partitions that the leases give. `report` is called after every look around."""

    sink: RawSink
    topic: EpochTopic
    consumer: Consumer
    marker: Marker
    leases: SharedWork
    breaker: InvalidRatioBreaker
    progress: Progress
    report: Callable[[], None]
    _positions: dict[Partition, int] = field(default_factory=dict)  # what to read next
    _committed: dict[Partition, int] = field(default_factory=dict)
    _suspects: frozenset[Partition] = frozenset()
    _buffer: Buffer = field(default_factory=Buffer)
    _writing: Future[None] | None = None
    _began_write_at: float = 0.0
    _awake_until: float = 0.0
    _topic_lock: Lock = field(default_factory=Lock)  # reading and writing thread both ask it

    def load(self, stop: StopEvent) -> None:
        """Load until `stop` is set, then write what was read.

        Raises:
            SessionOverError: the epoch or the leases are over.
            OffsetConflictError: somebody else loaded the same records; nothing was doubled.
            OffsetLostError: the broker no longer has what is to be read next.
            TransportError, SinkUnavailableError, TooManyInvalidError: what they say.
        """
        upkeep_at = 0.0
        self.progress.epoch = str(self.marker.epoch)
        with ThreadPoolExecutor(1, "writer") as writer:
            while not stop.is_set():
                if monotonic() >= upkeep_at:
                    self._look_around()
                    upkeep_at = monotonic() + self._upkeep_seconds()
                self._doze(stop, until=upkeep_at)
                if self._buffer.is_full():
                    self._finish_write(timeout=_POLL_SECONDS)
                else:
                    self._read()
                    self._finish_write(timeout=0)
                if self._writing is None and self._buffer.is_due(since_last=monotonic() - self._began_write_at):
                    self._start_write(writer)
            self._finish_write(timeout=None)
            if self._buffer.records:
                self._start_write(writer)
                self._finish_write(timeout=None)

    def _upkeep_seconds(self) -> float:
        """How long until the next look around: longer where nothing comes, as long as the leases allow it."""
        if monotonic() < self._awake_until + _QUIET_AFTER_SECONDS:
            return _UPKEEP_SECONDS
        return max(_UPKEEP_SECONDS, min(_QUIET_UPKEEP_SECONDS, self.leases.silence_seconds))

    def _doze(self, stop: StopEvent, *, until: float) -> None:
        """Where nothing is left to read or write: wait for a hint, or until it is time to look around."""
        is_busy = self.progress.behind or self._buffer.records or self._writing is not None
        if is_busy or monotonic() < self._awake_until:
            return
        while not stop.is_set() and (left := until - monotonic()) > 0:
            if self.leases.wait_for_events(min(_LOOK_SECONDS, left)):
                self._awake_until = monotonic() + _AWAKE_SECONDS
                return

    def _read(self) -> None:
        polled = self.consumer.poll(_POLL_SECONDS)
        self._buffer.add(polled, self._positions)
        if polled:
            self._awake_until = monotonic() + _AWAKE_SECONDS

    def _look_around(self) -> None:
        """Whether the broker still holds the epoch, which partitions to read, and how far behind they are."""
        if self.sink.is_gone():
            raise SessionOverError("the warehouse's raw events were removed")
        with self._topic_lock:
            if not self.topic.is_intact(self.marker):
                raise SessionOverError("the broker has lost its data")
            places = self.topic.admin.partitions(EVENT_TOPICS)
        held = self.leases.balance([Share(*place) for place in places])
        self._assign({Partition(*share) for share in held})
        ends = self.consumer.ends()
        self._check_ends(ends)
        self.progress.behind = sum(max(0, end - self._committed.get(place, end)) for place, end in ends.items())
        self.progress.partitions = len(self._positions)
        self.report()

    def _assign(self, places: set[Partition]) -> None:
        gone, new = self._positions.keys() - places, places - self._positions.keys()
        if not gone and not new:
            return
        self._finish_write(timeout=None)
        self._buffer.drop(gone)
        for place in gone:
            del self._positions[place], self._committed[place]
        if new:
            stored = self.sink.offsets(self.marker.epoch)
            self._committed |= {place: stored.get(place, 0) for place in new}
            self._positions |= {place: self._committed[place] for place in new}
        self.consumer.assign(self._positions)
        logger.info("loading %s partitions", len(places), extra={"new": len(new), "gone": len(gone)})

    def _check_ends(self, ends: Mapping[Partition, int]) -> None:
        """A broker may answer a read beyond the end with silence for ever; an end seen once may be an old answer."""
        beyond = frozenset(place for place, end in ends.items() if self._positions.get(place, 0) > end)
        lost = beyond & self._suspects
        self._suspects = beyond
        if lost:
            place = min(lost)
            raise OffsetLostError(
                f"{place.topic}-{place.number} ends before offset {self._positions[place]}, which is to be read next"
            )

    def _start_write(self, writer: ThreadPoolExecutor) -> None:
        batch, self._buffer = self._buffer, Buffer()
        self._writing, self._began_write_at = writer.submit(self._write, batch), monotonic()

    def _finish_write(self, *, timeout: float | None) -> None:
        """Wait for the batch that is being written, if any, and raise what it raised."""
        if self._writing is None:
            return
        wait([self._writing], timeout)
        if self._writing.done():
            written, self._writing = self._writing, None
            written.result()

    def _write(self, batch: Buffer) -> None:
        """Write what was read. Dead letters go first: a crash in between stores them twice, never not at all."""
        messages = [message for part in batch.messages.values() for message in part]
        decoded = decode(messages, epoch=str(self.marker.epoch), loaded_at=datetime.now(UTC))
        # left over from an earlier epoch they are no loss; of a newer one they mean that this loader is behind
        if decoded.foreign and self._read_marker() != self.marker:
            raise SessionOverError("records of another epoch arrived")
        if decoded.rejected:
            self.breaker.record(monotonic(), valid=len(decoded.rows), invalid=len(decoded.rejected))
            DeadLetters(self.topic.producer, "loader").put(decoded.rejected)
            logger.warning("%s unreadable messages went to the dead letters", len(decoded.rejected))
        if self.leases.is_stale:
            raise SessionOverError("this process stood still, its leases may be over")
        self.sink.append(decoded.rows, epoch=self.marker.epoch, ranges=batch.ranges)
        self._committed |= {place: offsets.next for place, offsets in batch.ranges.items()}
        self.progress.commits += 1
        self.progress.rejected += len(decoded.rejected)
        newest = decoded.rows["recorded_at"].max()
        if isinstance(newest, datetime):
            self.progress.recorded_through = max(newest, self.progress.recorded_through or newest)
        self.progress.loaded += len(decoded.rows)

    def _read_marker(self) -> Marker | None:
        with self._topic_lock:
            return self.topic.read()
