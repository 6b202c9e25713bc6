"""Sends records to Kafka so that order holds and nothing counts as sent that the broker did not confirm.

kafka-python's futures of one partition may fail and succeed in any mixture when it gives up on one batch. So a call
goes out in waves, each small enough to be a single batch per partition: a partition's part of a wave is in the log
as a whole or not at all, and after a failure nothing more is sent.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from time import monotonic

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.producer.future import FutureRecordMetadata

from bus.admin import KafkaAdmin
from bus.connection import Connector
from bus.records import OutgoingRecord, Partition, Receipt, SendFailure, TransportError
from contracts.settings import KafkaSettings

logger = logging.getLogger(__name__)

#: Largest record that is tried. Brokers accept batches of 1 MiB by default, headers and framing included.
MAX_RECORD_BYTES = 900_000

_WAVE_BYTES = 900_000  # per partition; below _BATCH_BYTES, so that a wave is one batch
_RECORD_OVERHEAD = 64
_BATCH_BYTES = 1_000_000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_NOT_SENT = SendFailure("not sent: an earlier record failed")
_TIMED_OUT = SendFailure("not confirmed in time")


class KafkaRecordProducer:
    """An idempotent producer. Connects on first use; a failed client is thrown away, nothing stale leaves later."""

    def __init__(self, settings: KafkaSettings, *, delivery_timeout: float = 10.0) -> None:
        self._settings = settings
        self._delivery_timeout = delivery_timeout
        self._client: KafkaProducer | None = None

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        """One outcome per record, in order. Of one partition, no record is sent after one that failed."""
        outcomes: list[Receipt | SendFailure] = []
        sizes = [record.size for record in records]
        oversized = next((index for index, size in enumerate(sizes) if size > MAX_RECORD_BYTES), len(records))
        for wave in _waves(records[:oversized], sizes):
            outcomes += self._send_wave(wave)
            if any(isinstance(outcome, SendFailure) for outcome in outcomes):
                self._discard()
                break
        if len(outcomes) == oversized < len(records):
            size = sizes[oversized]
            outcomes.append(SendFailure(f"record of {size} bytes is larger than {MAX_RECORD_BYTES}", is_permanent=True))
        return outcomes + [_NOT_SENT] * (len(records) - len(outcomes))

    def close(self) -> None:
        """Give up the connection. Every record was waited for, so nothing is pending."""
        self._discard()

    def _send_wave(self, wave: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        futures: list[FutureRecordMetadata] = []
        failure: SendFailure | None = None
        deadline = monotonic() + self._delivery_timeout + 1.0
        try:
            client = self._connected()
            futures.extend(_send(client, record) for record in wave)
            client.flush(timeout=self._delivery_timeout + 1.0)
        except (KafkaError, ValueError, AssertionError, TransportError) as error:
            failure = SendFailure(_text(error))
        outcomes = [_outcome(future, deadline) for future in futures]
        if _TIMED_OUT in outcomes:
            failed = [record for record, outcome in zip(wave, outcomes, strict=False) if outcome is _TIMED_OUT]
            explained = SendFailure(self._explain_timeout(failed))
            outcomes = [explained if outcome is _TIMED_OUT else outcome for outcome in outcomes]
        return outcomes + [failure or _NOT_SENT] * (len(wave) - len(outcomes))

    def _explain_timeout(self, records: Sequence[OutgoingRecord]) -> str:
        """Why nothing was confirmed, as far as a broker can tell: the producer only knows that time is up."""
        places = {Partition(record.topic, record.partition) for record in records}
        try:
            with closing(KafkaAdmin(self._settings)) as admin:
                ailments = admin.ailments(places)
        except TransportError as error:
            return str(error)
        told = "; ".join(ailments[:3]) or f"{len(places)} partitions, of which the broker knows nothing bad"
        return f"not confirmed in {self._delivery_timeout:.0f} s: {told}"

    def _connected(self) -> KafkaProducer:
        if self._client is None:
            timeout_ms = int(self._delivery_timeout * 1000)
            connector = Connector(self._settings)
            try:
                self._client = KafkaProducer(
                    **connector.options,
                    enable_idempotence=True,  # said aloud: else a conflicting option would switch it off in silence
                    delivery_timeout_ms=timeout_ms,
                    request_timeout_ms=timeout_ms // 2,
                    max_block_ms=timeout_ms,
                    batch_size=_BATCH_BYTES,
                    linger_ms=timeout_ms // 4,  # the flush sends each wave; until then its batches must stay whole
                    allow_auto_create_topics=False,
                )
            except KafkaError as error:
                raise connector.no_broker(error) from error
        return self._client

    def _discard(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close(timeout=1)
        except KafkaError:
            client._sender.force_close()  # close() gives up when its flush fails and would leave the sender alive


def _waves(records: Sequence[OutgoingRecord], sizes: Sequence[int]) -> Iterator[Sequence[OutgoingRecord]]:
    start, filled = 0, dict[tuple[str, int], int]()
    for index, record in enumerate(records):
        place, size = (record.topic, record.partition), sizes[index] + _RECORD_OVERHEAD
        if index > start and filled.get(place, 0) + size > _WAVE_BYTES:
            yield records[start:index]
            start, filled = index, {}
        filled[place] = filled.get(place, 0) + size
    if start < len(records):
        yield records[start:]


def _send(client: KafkaProducer, record: OutgoingRecord) -> FutureRecordMetadata:
    return client.send(
        record.topic, value=record.value, key=record.key, headers=record.headers, partition=record.partition
    )


def _outcome(future: FutureRecordMetadata, deadline: float) -> Receipt | SendFailure:
    try:
        metadata = future.get(timeout=max(0.0, deadline - monotonic()))
    except _TOO_LARGE as error:
        return SendFailure(_text(error), is_permanent=True)
    except KafkaTimeoutError:
        return _TIMED_OUT
    except (KafkaError, AssertionError) as error:
        return SendFailure(_text(error))
    if metadata.offset < 0:  # a broker that recognizes a repeated batch may no longer know where the first one went
        return SendFailure("the broker has the record, but does not say where")
    return Receipt(metadata.partition, metadata.offset)


def _text(error: Exception) -> str:
    """What to say of an error. Kafka's own name themselves."""
    return str(error) if isinstance(error, KafkaError | TransportError) else f"{type(error).__name__}: {error}"
