"""One batch of the relay: read pending events in order, publish, wait for every receipt, note where each went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from bus.dead_letter import InvalidRatioBreaker
from bus.partitioner import partition_of
from bus.producer import MAX_RECORD_BYTES
from bus.records import OutgoingRecord, Producer, Receipt, SendFailure, TransportError
from contracts.events.registry import EVENTS
from contracts.topics import key_of, topic_of
from ingest.epoch import EPOCH_HEADER, EpochTopic, Marker
from ingest.outbox import BEHIND_A_PARKED, Outbox, PendingEvent, Published

#: Room for a record's key and header, whatever they say.
_ENVELOPE_BYTES = 1_000

#: A batch that was read longer ago than this is not sent: this process slept, others may own the shards now.
_STALE_SECONDS = 20.0

#: While a backlog drains, batches are read on from the last position; every so often from the start again, where
#: transactions that took their positions early and committed late have left theirs.
_READ_FROM_START_EVERY = 20


class EpochEndedError(TransportError):
    """The broker is not the one that the batch was meant for. Nothing was marked."""


class Outcome(NamedTuple):
    """What became of a batch."""

    published: int
    parked: int


class _Prepared(NamedTuple):
    event: PendingEvent
    record: OutgoingRecord


@dataclass
class Publisher:
    """Publishes batches of one outbox to one broker, within one epoch."""

    outbox: Outbox
    producer: Producer
    topic: EpochTopic
    marker: Marker
    batch_size: int = 2_000
    breaker: InvalidRatioBreaker = field(default_factory=InvalidRatioBreaker)
    _after: int = 0
    _batches: int = 0
    _shards: set[int] = field(default_factory=set)

    def publish_batch(self) -> Outcome:
        """Publish the next events. (0, 0) when there are none.

        Raises:
            TransportError: the broker did not take all of it; what it took is marked.
            EpochEndedError: the broker lost its data, now or since the last batch.
            TooManyInvalidError: so many events cannot be published that rather this program is wrong. Nothing was sent.
        """
        with self.outbox.batch():
            if self.outbox.newest_epoch() != self.marker.epoch:
                raise EpochEndedError("another relay has begun a new epoch")
            read_at = monotonic()
            events = self._read()
            if not events:
                return Outcome(0, 0)
            prepared, unfit, held = self._prepare(events)
            self.breaker.record(read_at, valid=len(prepared), invalid=len(unfit))
            if monotonic() - read_at > _STALE_SECONDS:
                raise TransportError("this process was asleep for too long; reading the batch again")
            outcomes = self.producer.send_all([item.record for item in prepared])
            # receipts may come from a broker that was restarted a moment ago; then they say nothing
            if not self.topic.is_intact(self.marker):
                raise EpochEndedError("the broker has lost its data")
            published, refused, failure = _settle(prepared, outcomes)
            self.outbox.mark(self.marker.epoch, published)
            for position, reason in [*unfit, *refused]:
                self.outbox.park([position], reason)
            if held:
                self.outbox.park(held, BEHIND_A_PARKED)
            if unfit or refused or held:
                self._after = 0
        if failure is not None:
            raise TransportError(failure)
        return Outcome(len(published), len(unfit) + len(refused) + len(held))

    def _read(self) -> list[PendingEvent]:
        self._batches += 1
        if self._batches % _READ_FROM_START_EVERY == 0 or self.outbox.shards != self._shards:
            # of a shard that was taken over meanwhile, older events may wait before the last position
            self._after, self._shards = 0, set(self.outbox.shards)
        events = self.outbox.pending(limit=self.batch_size, after=self._after)
        # a parked event that is released meanwhile waits at its old position, before later ones of its aggregate
        goes_on = len(events) == self.batch_size and not events[-1].is_any_parked
        self._after = events[-1].position if goes_on else 0
        return events

    def _prepare(self, events: Sequence[PendingEvent]) -> tuple[list[_Prepared], list[tuple[int, str]], list[int]]:
        """What can be sent; positions and reasons of what cannot; positions that must wait behind such an event."""
        prepared: list[_Prepared] = []
        unfit: list[tuple[int, str]] = []
        held: list[int] = []
        stopped: set[str] = set()
        headers = [(EPOCH_HEADER, str(self.marker.epoch).encode())]
        for event in events:
            if event.is_held or event.aggregate_id in stopped:
                held.append(event.position)
                continue
            record, reason = _record(event, headers)
            if record is None:
                unfit.append((event.position, reason))
                stopped.add(event.aggregate_id)
            else:
                prepared.append(_Prepared(event, record))
        return prepared, unfit, held


def _record(event: PendingEvent, headers: list[tuple[str, bytes]]) -> tuple[OutgoingRecord | None, str]:
    if (event.type, event.version) not in EVENTS:
        return None, f"unknown event type {event.type!r} version {event.version}"
    try:
        topic = topic_of(event.aggregate_type)
    except KeyError:
        return None, f"aggregate type {event.aggregate_type!r} has no topic"
    key = key_of(event.organization_id, event.aggregate_id)
    value = event.message.encode()
    if len(value) > MAX_RECORD_BYTES - _ENVELOPE_BYTES:
        return None, f"message of {len(value)} bytes is larger than {MAX_RECORD_BYTES - _ENVELOPE_BYTES}"
    return OutgoingRecord(topic, partition_of(key), key, value, headers), ""


def _settle(
    prepared: Iterable[_Prepared], outcomes: Iterable[Receipt | SendFailure]
) -> tuple[list[Published], list[tuple[int, str]], str | None]:
    """What to mark, what to park, and what else went wrong. After an aggregate's failure none of it is marked."""
    published: list[Published] = []
    refused: list[tuple[int, str]] = []
    failure: str | None = None
    stopped: set[str] = set()
    for (event, record), outcome in zip(prepared, outcomes, strict=True):
        if event.aggregate_id in stopped:
            continue
        if isinstance(outcome, Receipt):
            published.append(Published(event.position, record.topic, outcome.partition, outcome.offset))
            continue
        stopped.add(event.aggregate_id)
        if outcome.is_permanent:
            refused.append((event.position, outcome.reason))
        else:
            failure = failure or outcome.reason
    return published, refused, failure
