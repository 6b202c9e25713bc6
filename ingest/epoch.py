"""Which data the broker holds: an *epoch* is the time since it was last empty.

A marker record in a topic of its own names the epoch and the identities of all topics. When the broker forgets, or a
topic is made anew, marker or identities are gone or different. Ends of partitions and errors prove nothing: a broker
that lost its data answers a read beyond its end with silence.
"""

import json
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.producer import KafkaRecordProducer
from bus.records import Admin, Consumer, Message, OutgoingRecord, Partition, Producer, SendFailure, TransportError
from contracts.settings import KafkaSettings
from contracts.topics import EPOCH_TOPIC, EVENT_TOPICS

#: Header of every event record: the epoch in which it was published.
EPOCH_HEADER = "epoch"

_PLACE = Partition(EPOCH_TOPIC, 0)
_WATCHED = (*EVENT_TOPICS, EPOCH_TOPIC)
_PATIENCE_SECONDS = 3.0
#: A partition that has called itself empty for so long is. Whoever asks may hold leases, and must not fall silent.
_EMPTY_SECONDS = 1.0


@dataclass(frozen=True)
class Marker:
    """The epoch of the broker's present data, and the topics it was declared for."""

    epoch: UUID
    topic_ids: dict[str, str]


@dataclass
class EpochTopic:
    """Reads and writes the marker record."""

    admin: Admin
    consumer: Consumer
    producer: Producer

    @classmethod
    def connect(cls, settings: KafkaSettings) -> "EpochTopic":
        """Open connections of its own.

        Raises:
            TransportError: no broker.
        """
        admin = KafkaAdmin(settings)
        try:
            return cls(admin, KafkaRecordConsumer(settings), KafkaRecordProducer(settings))
        except TransportError:
            admin.close()
            raise

    def is_intact(self, marker: Marker) -> bool:
        """Whether the broker still holds what it held when `marker` was written. One small request."""
        return self.admin.topic_ids(_WATCHED) == marker.topic_ids

    def read(self, patience: float = _PATIENCE_SECONDS) -> Marker | None:
        """The newest marker, or None when the broker has none, or its topics are not those of the marker.

        Raises:
            TransportError: the marker cannot be read now, which says nothing about whether there is one: after the
                death of a broker a partition may have no leader for a while.
        """
        if EPOCH_TOPIC not in self.admin.topic_ids((EPOCH_TOPIC,)):
            return None
        self.consumer.assign({_PLACE: 0})
        newest: Message | None = None
        begun = monotonic()
        while monotonic() < begun + patience:
            messages = self.consumer.poll(0.1).get(_PLACE, ())
            if messages:
                newest = messages[-1]
            elif newest is not None or (self._says_empty() and monotonic() > begun + _EMPTY_SECONDS):
                break
        if newest is None and not self._says_empty():
            raise TransportError("the epoch marker cannot be read: its partition gives no answer")
        marker = None if newest is None else _parse(newest.value)
        return marker if marker is not None and self.is_intact(marker) else None

    def _says_empty(self) -> bool:
        return self.consumer.ends().get(_PLACE) == 0

    def write(self, epoch: UUID) -> Marker:
        """Declare that the broker's data from now on belong to `epoch`. Makes the topics that are missing."""
        self.admin.ensure_topics()
        marker = Marker(epoch, self.admin.topic_ids(_WATCHED))
        value = json.dumps({"epoch": str(marker.epoch), "topics": marker.topic_ids}).encode()
        (outcome,) = self.producer.send_all([OutgoingRecord(*_PLACE, b"epoch", value)])
        if isinstance(outcome, SendFailure):
            raise TransportError(f"cannot write the epoch marker: {outcome.reason}")
        return marker

    def close(self) -> None:
        """Give up the connections."""
        self.admin.close()
        self.consumer.close()
        self.producer.close()


def _parse(value: bytes | None) -> Marker | None:
    try:
        content = json.loads(value or b"")
        return Marker(UUID(content["epoch"]), dict(content["topics"]))
    except (ValueError, KeyError, TypeError):
        return None
