"""One batch of the relay: read pending events in order, publish, wait for every receipt, note where each went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from bus.partitioner import partition_of
from bus.producer import MAX_RECORD_BYTES
from bus.records import OutgoingRecord, Producer, Receipt, SendFailure, TransportError
from contracts.events.registry import EVENTS
from contracts.topics import key_of, topic_of
from ingest.epoch import EPOCH_HEADER, EpochTopic, Marker
from ingest.outbox import Outbox, PendingEvent, Published

#: A batch that was read longer ago than this is not sent: this process slept, others may own the shards now.
_STALE_SECONDS = 20.0


class EpochEndedError(TransportError):
    """The broker is not the one that the batch was meant for. Nothing was marked."""


class Outcome(NamedTuple):
    """What became of a batch."""

    published: int
    parked: int


@dataclass(frozen=True)
class _Prepared:
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

    def publish_batch(self) -> Outcome:
        """Publish the next events. (0, 0) when there are none.

        Raises:
            TransportError: the broker did not take all of it; what it took is marked.
            EpochEndedError: the broker lost its data, now or since the last batch.
        """
        with self.outbox.batch():
            if self.outbox.newest_epoch() != self.marker.epoch:
                raise EpochEndedError("another relay has begun a new epoch")
            read_at = monotonic()
            events = self.outbox.pending(limit=self.batch_size)
            if not events:
                return Outcome(0, 0)
            prepared, unfit = self._prepare(events)
            if monotonic() - read_at > _STALE_SECONDS:
                raise TransportError("this process was asleep for too long; reading the batch again")
            outcomes = self.producer.send_all([item.record for item in prepared])
            # receipts may come from a broker that was restarted a moment ago; then they say nothing
            if not self.topic.is_intact(self.marker):
                raise EpochEndedError("the broker has lost its data")
            published, refused, failure = _settle(prepared, outcomes)
            self.outbox.mark(self.marker.epoch, published)
            for position, reason in [*unfit, *refused]:
                self.outbox.park(position, reason)
        if failure is not None:
            raise TransportError(failure)
        return Outcome(len(published), len(unfit) + len(refused))

    def _prepare(self, events: Sequence[PendingEvent]) -> tuple[list[_Prepared], list[tuple[int, str]]]:
        prepared: list[_Prepared] = []
        unfit: list[tuple[int, str]] = []
        stopped: set[tuple[str, str]] = set()
        epoch = str(self.marker.epoch).encode()
        for event in events:
            aggregate = (event.organization_id, event.aggregate_id)
            if aggregate in stopped:
                continue
            record, reason = _record(event, epoch)
            if record is None:
                unfit.append((event.position, reason))
                stopped.add(aggregate)
            else:
                prepared.append(_Prepared(event, record))
        return prepared, unfit


def _record(event: PendingEvent, epoch: bytes) -> tuple[OutgoingRecord | None, str]:
    if (event.type, event.version) not in EVENTS:
        return None, f"unknown event type {event.type!r} version {event.version}"
    try:
        topic = topic_of(event.aggregate_type)
    except KeyError:
        return None, f"aggregate type {event.aggregate_type!r} has no topic"
    key = key_of(event.organization_id, event.aggregate_id)
    headers = [("id", event.event_id.encode()), ("type", event.type.encode()), (EPOCH_HEADER, epoch)]
    record = OutgoingRecord(topic.value, partition_of(key), key, event.message.encode(), headers)
    if record.size > MAX_RECORD_BYTES:
        return None, f"message of {record.size} bytes is larger than {MAX_RECORD_BYTES}"
    return record, ""


def _settle(
    prepared: Iterable[_Prepared], outcomes: Iterable[Receipt | SendFailure]
) -> tuple[list[Published], list[tuple[int, str]], str | None]:
    """What to mark, what to park, and what else went wrong. After an aggregate's failure none of it is marked."""
    published: list[Published] = []
    refused: list[tuple[int, str]] = []
    failure: str | None = None
    stopped: set[tuple[str, str]] = set()
    for item, outcome in zip(prepared, outcomes, strict=True):
        aggregate = (item.event.organization_id, item.event.aggregate_id)
        if aggregate in stopped:
            continue
        if isinstance(outcome, Receipt):
            published.append(Published(item.event.position, outcome.partition, outcome.offset))
            continue
        stopped.add(aggregate)
        if outcome.is_permanent:
            refused.append((item.event.position, outcome.reason))
        else:
            failure = failure or outcome.reason
    return published, refused, failure
