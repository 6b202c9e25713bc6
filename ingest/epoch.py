"""Which data the broker holds: an *epoch* is the time since it was last empty.

A marker record in a topic of its own names the epoch and the identities of all topics. When the broker forgets, or a
topic is made anew, marker or identities are gone or different. Ends of partitions and errors prove nothing: a broker
that lost its data answers a read beyond its end with silence.

Then a new epoch begins, and what the warehouse never got is published again. The same when PostgreSQL was restored:
then the broker knows events of a future that is no more, and positions repeat. The server's identity and timeline,
stored with the epoch, tell so however it was restored. A new epoch is one transaction that no batch can overlap: its
row, the events that go back to pending, and the marker record. A crash in between leaves the marker and the newest row
different, which is again "the broker lost its data".
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TypeGuard
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.producer import KafkaRecordProducer
from bus.records import Admin, Consumer, Message, OutgoingRecord, Partition, Producer, SendFailure, TransportError
from contracts.settings import KafkaSettings
from contracts.topics import EPOCH_TOPIC, EVENT_TOPICS
from ingest.event_log import IN_FLIGHT, stored_offsets
from ingest.outbox import closed_gate, newest_epoch

logger = logging.getLogger(__name__)

#: Header of every event record: the epoch in which it was published.
EPOCH_HEADER = "epoch"

_PLACE = Partition(EPOCH_TOPIC, 0)
_WATCHED = (*EVENT_TOPICS, EPOCH_TOPIC)
_PATIENCE_SECONDS = 3.0
#: A partition that has called itself empty for so long is. Whoever asks may hold leases, and must not fall silent.
_EMPTY_SECONDS = 1.0

_REPUBLISH = f"""
update outbox
set published_at = null, published_epoch = null, published_topic = null, published_partition = null,
    published_offset = null
where published_epoch = %(epoch)s and position in ({IN_FLIGHT})
    and exists (select from event_log e where e.position = outbox.position) -- what was deleted is published no more
"""

_SERVER = """
(select system_identifier from pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
"""

_BEGIN = f"""
insert into transport_epoch (epoch, started_at, reason, server) values (%s, clock_timestamp(), %s, {_SERVER})
"""

# an epoch of a release that did not ask for the server is taken to be this one's
_IS_SAME_SERVER = f"""
select coalesce(server = {_SERVER}, true) from transport_epoch order by started_at desc limit 1
"""
_ADOPT = f"update transport_epoch set server = {_SERVER} where epoch = %s and server is null"

_FIRST = "first"
_LOST = "the broker lost its data"
_RESTORED = "restored"

#: What people are told until the warehouse has forgotten what PostgreSQL no longer holds.
RESTORED_NOTICE = "PostgreSQL was restored: run ./sluice reconcile --repair"

StoredOffsets = Callable[[UUID], Mapping[Partition, int]]


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


def establish_epoch(connection: psycopg.Connection, topic: EpochTopic, offsets_of: StoredOffsets) -> Marker:
    """The epoch of the broker's present data; a new one where the broker's marker is not that of the newest epoch.

    `offsets_of` answers with the warehouse's next offsets within an epoch.
    """
    marker = topic.read()
    if _is_current(marker, connection):
        return marker
    with closed_gate(connection):
        marker = topic.read()  # again: another relay may have been faster
        if _is_current(marker, connection):
            return marker
        newest = newest_epoch(connection)
        reason = _reason(connection, newest)
        epoch = UUID(str(uuid7()))
        republished = 0 if newest is None else _republish(connection, newest, offsets_of(newest))
        connection.execute(_BEGIN, (epoch, reason))
        marker = topic.write(epoch)
    logger.warning(
        RESTORED_NOTICE if reason == _RESTORED else "the broker is empty or other topics: a new epoch begins",
        extra={"epoch": str(epoch), "previous_epoch": str(newest), "republished": republished},
    )
    return marker


def begin_restored_epoch(connection: psycopg.Connection) -> UUID:
    """Note that PostgreSQL was restored: whatever the broker holds belongs to an epoch that is over."""
    epoch = UUID(str(uuid7()))
    with closed_gate(connection):
        connection.execute(_BEGIN, (epoch, _RESTORED))
    return epoch


def note_repaired(connection: psycopg.Connection) -> None:
    """Note that the warehouse holds what PostgreSQL holds, and nothing of before its restore."""
    connection.execute(
        "update transport_epoch set repaired_at = clock_timestamp() where reason = %s and repaired_at is null",
        (_RESTORED,),
    )


def needs_repair(connection: psycopg.Connection) -> bool:
    """Whether PostgreSQL was restored and nobody has cut the warehouse back since."""
    row = connection.execute(
        "select exists (select from transport_epoch where reason = %s and repaired_at is null)", (_RESTORED,)
    ).fetchone()
    return bool(row and row[0])


def _is_current(marker: Marker | None, connection: psycopg.Connection) -> TypeGuard[Marker]:
    newest = newest_epoch(connection)
    if marker is None or marker.epoch != newest or not _is_same_server(connection):
        return False
    connection.execute(_ADOPT, (newest,))
    return True


def _is_same_server(connection: psycopg.Connection) -> bool:
    row = connection.execute(_IS_SAME_SERVER).fetchone()
    return bool(row is None or row[0])


def _reason(connection: psycopg.Connection, newest: UUID | None) -> str:
    if newest is None:
        return _FIRST
    return _LOST if _is_same_server(connection) else _RESTORED


def _republish(connection: psycopg.Connection, epoch: UUID, offsets: Mapping[Partition, int]) -> int:
    return connection.execute(_REPUBLISH, stored_offsets(epoch, offsets)).rowcount
