"""Reads Kafka partitions from offsets that the caller keeps: no groups, no commits, never a silent jump.

A position beyond the end of a partition gives neither records nor an error, on some brokers even after all data was
lost. Whoever needs to know that asks for the topic's identity (`bus.admin`) or reads a marker record. And reading a
topic may create it: the embedded broker does so even when asked not to.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from bus.connection import Connector
from bus.records import Message, OffsetLostError, Partition, TransportError
from bus.unpacking import unpack_quickly
from contracts.settings import KafkaSettings


class KafkaRecordConsumer:
    """An open consumer connection. Not for several threads at once."""

    def __init__(self, settings: KafkaSettings, *, max_records: int = 10_000) -> None:
        connector = Connector(settings)
        try:
            self._client = KafkaConsumer(
                **connector.options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                max_poll_records=max_records,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                fetch_max_wait_ms=100,  # asked for anew so often while nothing comes
            )
            unpack_quickly(self._client)
        except KafkaError as error:
            raise connector.no_broker(error) from error

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read exactly these partitions from these offsets on."""
        try:
            self._client.assign([TopicPartition(*partition) for partition in positions])
            for partition, offset in positions.items():
                self._client.seek(TopicPartition(*partition), offset)
        except KafkaError as error:
            raise TransportError(f"cannot assign partitions: {error}") from error

    def poll(self, timeout: float) -> Mapping[Partition, Sequence[Message]]:
        """Next records, waiting up to `timeout` seconds for the first.

        Raises:
            OffsetLostError: an assigned offset is gone.
            TransportError: the broker refused.
        """
        try:
            polled = self._client.poll(timeout_ms=int(timeout * 1000))
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            raise OffsetLostError(f"the broker no longer has the records to read next: {error}") from error
        except KafkaError as error:
            raise TransportError(f"cannot read: {type(error).__name__}: {error}") from error
        return cast(
            "Mapping[Partition, Sequence[Message]]",
            {Partition(place.topic, place.partition): messages for place, messages in polled.items()},
        )

    def ends(self) -> Mapping[Partition, int]:
        """Offset behind the last record of each assigned partition, as the broker's last answer said it.

        What a broker says beside records can be trusted; the embedded one answers a question for ends with too little.
        """
        ends = {place: self._client.highwater(place) for place in self._client.assignment()}
        return {Partition(place.topic, place.partition): end for place, end in ends.items() if end is not None}

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()
