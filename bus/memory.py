"""A broker in memory with the interfaces of the real one: consumers of events are tested against it in microseconds.

`forget()` plays the broker that lost its data: topics and records are gone, positions stay where they were.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bus.partitioner import partition_of
from bus.producer import MAX_RECORD_BYTES
from bus.records import Message, OutgoingRecord, Partition, Receipt, SendFailure
from bus.topics import TOPICS

_identities = itertools.count(1)


@dataclass
class MemoryBroker:
    """Topics and their records. Not for several threads at once."""

    logs: dict[Partition, list[Message]] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def producer(self) -> "MemoryProducer":
        """A producer to this broker."""
        return MemoryProducer(self)

    def consumer(self) -> "MemoryConsumer":
        """A consumer of this broker."""
        return MemoryConsumer(self)

    def admin(self) -> "MemoryAdmin":
        """An admin of this broker."""
        return MemoryAdmin(self)

    def forget(self) -> None:
        """Lose everything."""
        self.logs.clear()
        self.identities.clear()

    def widen(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic, as an operator may."""
        self.widths[topic] = partitions

    def make_anew(self, topic: str) -> None:
        """Delete a topic and create it again: it is empty and has another identity."""
        for partition in [place for place in self.logs if place.topic == topic]:
            del self.logs[partition]
        self.identities[topic] = str(next(_identities))

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Put one record where its key belongs."""
        number = partition_of(key) % TOPICS[topic][0]
        log = self.logs.setdefault(Partition(topic, number), [])
        log.append(Message(topic, number, len(log), key, value, headers))


@dataclass
class MemoryProducer:
    """Appends at once; refuses what the real producer refuses."""

    broker: MemoryBroker

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        """One outcome per record, in order. Nothing is sent after a record that failed."""
        outcomes: list[Receipt | SendFailure] = []
        for record in records:
            if record.size > MAX_RECORD_BYTES:
                outcomes.append(SendFailure(f"record of {record.size} bytes is larger than {MAX_RECORD_BYTES}", True))
                break
            log = self.broker.logs.setdefault(Partition(record.topic, record.partition), [])
            stored = Message(record.topic, record.partition, len(log), record.key, record.value, tuple(record.headers))
            log.append(stored)
            outcomes.append(Receipt(record.partition, stored.offset))
        rest = len(records) - len(outcomes)
        return outcomes + [SendFailure("not sent: an earlier record failed")] * rest

    def close(self) -> None:
        """Nothing to give up."""


@dataclass
class MemoryConsumer:
    """Reads from positions; one beyond the end gives nothing, like the real one."""

    broker: MemoryBroker
    positions: dict[Partition, int] = field(default_factory=dict)

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read exactly these partitions from these offsets on."""
        self.positions = dict(positions)

    def poll(self, timeout: float) -> Mapping[Partition, Sequence[Message]]:  # noqa: ARG002  # memory never waits
        """All records that are there."""
        polled: dict[Partition, Sequence[Message]] = {}
        for partition, position in self.positions.items():
            messages = self.broker.logs.get(partition, [])[position:]
            if messages:
                polled[partition] = messages
                self.positions[partition] = position + len(messages)
        return polled

    def ends(self) -> Mapping[Partition, int]:
        """Offset behind the last record of each assigned partition."""
        return {partition: len(self.broker.logs.get(partition, [])) for partition in self.positions}

    def close(self) -> None:
        """Nothing to give up."""


@dataclass
class MemoryAdmin:
    """Makes topics and says which they are."""

    broker: MemoryBroker

    def ensure_topics(self) -> None:
        """Create the topics that do not exist yet."""
        for name in TOPICS:
            self.broker.identities.setdefault(name, str(next(_identities)))

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Identity of each topic that exists."""
        return {name: self.broker.identities[name] for name in topics if name in self.broker.identities}

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """All partitions that the topics have now."""
        return [
            Partition(name, number)
            for name in topics
            if name in self.broker.identities
            for number in range(self.broker.widths.get(name, TOPICS[name][0]))
        ]

    def close(self) -> None:
        """Nothing to give up."""
