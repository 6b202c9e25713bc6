"""Unpacks Kafka's record batches (message format 2) with few Python objects per record.

kafka-python decodes each field by a call and keeps thirteen attributes a record, which is nine tenths of what reading
costs. This is the same decoding in one loop; whatever is unusual (older formats, control batches, transactions) stays
with kafka-python. It hooks into the one class that `Fetcher` makes its records by, so the version stays pinned and
tests compare both decoders record by record.
"""

from collections.abc import Iterator, Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

from bus.records import Message

_Headers = Sequence[tuple[str, bytes]]


def unpack_quickly(consumer: KafkaConsumer) -> None:
    """Let a consumer hand out `Message`s instead of kafka-python's own records."""
    consumer._fetcher.PartitionRecords = _PartitionRecords


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python has no types
    """What one fetch brought of one partition."""

    def _unpack_records(  # type: ignore[no-untyped-def]  # kafka-python has no types
        self,
        tp,  # noqa: ANN001
        records,  # noqa: ANN001
        key_deserializer,  # noqa: ANN001
        value_deserializer,  # noqa: ANN001
    ) -> Iterator[object]:
        if self.isolation_level == IsolationLevel.READ_COMMITTED:
            yield from super()._unpack_records(tp, records, key_deserializer, value_deserializer)
            return
        batch = None
        while (following := records.next_batch()) is not None:
            batch = following
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"a batch of {tp} at offset {batch.base_offset} fails its checksum")
            if batch.magic != 2:  # the message format's number
                yield from self._unpack_old(tp, batch)
            elif not batch.is_control_batch:
                self.leader_epoch = batch.leader_epoch
                for message in _unpack(batch, tp.topic, tp.partition):
                    self.next_fetch_offset = message.offset + 1
                    yield message
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
        self.drain()

    def _unpack_old(self, tp: TopicPartition, batch: LegacyRecordBatch) -> Iterator[Message]:
        for record in batch:
            self.next_fetch_offset = record.offset + 1
            yield Message(tp.topic, tp.partition, record.offset, record.key, record.value, record.headers)


def _unpack(batch: DefaultRecordBatch, topic: str, partition: int) -> Iterator[Message]:
    """Records of a batch. Lengths up to 8,191 are decoded in place, longer ones by kafka-python."""
    batch._maybe_uncompress()
    buffer, position = bytes(batch._buffer), batch._pos
    base_offset, seen_headers = batch.base_offset, dict[bytes, _Headers]()
    try:
        for _ in range(batch.records_count):
            length, position = _varint(buffer, position)
            end = position + length
            position += 1  # the record's attributes are not used
            while buffer[position] > 127:  # nor is its timestamp: a byte above 127 is not its last
                position += 1
            delta, position = _varint(buffer, position + 1)
            size, position = _varint(buffer, position)
            key = buffer[position : position + size] if size >= 0 else None
            position += max(0, size)
            size, position = _varint(buffer, position)
            value = buffer[position : position + size] if size >= 0 else None
            position += max(0, size)
            packed = buffer[position:end]
            headers = seen_headers.get(packed)
            if headers is None:
                headers = seen_headers[packed] = _unpack_headers(packed)
            position = end
            yield Message(topic, partition, base_offset + delta, key, value, headers)
    except (IndexError, ValueError) as error:
        raise CorruptRecordError(f"a record of {topic}-{partition} cannot be unpacked: {error!r}") from error
    if position != len(buffer):
        raise CorruptRecordError(f"{len(buffer) - position} bytes of {topic}-{partition} belong to no record")


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    first = buffer[position]
    if first < 128:
        return (first >> 1) ^ -(first & 1), position + 1
    second = buffer[position + 1]
    if second < 128:
        first = (first & 127) | (second << 7)
        return (first >> 1) ^ -(first & 1), position + 2
    value, position = decode_varint(buffer, position)
    return int(value), int(position)


def _unpack_headers(packed: bytes) -> _Headers:
    count, position = _varint(packed, 0)
    headers: list[tuple[str, bytes]] = []
    for _ in range(count):
        size, position = _varint(packed, position)
        name = packed[position : position + size].decode()
        size, position = _varint(packed, position + size)
        headers.append((name, packed[position : position + max(0, size)]))
        position += max(0, size)
    if position != len(packed) or count < 0:
        raise ValueError("headers do not fill their record")
    return tuple(headers)
