"""Events as the relay publishes them: what the loader's benchmark is fed with."""

import json
from contextlib import closing
from time import monotonic
from uuid import UUID

from uuid_utils.compat import uuid7

from bus.partitioner import partition_of
from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Receipt
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings
from contracts.topics import key_of
from ingest.epoch import EPOCH_HEADER

_CHUNK = 5_000


def make_records(count: int, epoch: UUID) -> list[OutgoingRecord]:
    """Records with the envelope as PostgreSQL's row_to_json spells it."""
    organization_id = UUID(str(uuid7()))
    return [_record(number, epoch, organization_id) for number in range(count)]


def publish(kafka: KafkaSettings, records: list[OutgoingRecord]) -> float:
    """Send all records; how many a second."""
    begun = monotonic()
    with closing(KafkaRecordProducer(kafka)) as producer:
        for start in range(0, len(records), _CHUNK):
            outcomes = producer.send_all(records[start : start + _CHUNK])
            if not all(isinstance(outcome, Receipt) for outcome in outcomes):
                raise RuntimeError("the broker did not take all records")
    return len(records) / (monotonic() - begun)


def _record(number: int, epoch: UUID, organization_id: UUID) -> OutgoingRecord:
    event_id, deal_id = uuid7(), uuid7()
    envelope = {
        "id": str(event_id),
        "type": "deal.amount.changed",
        "version": 1,
        "organization_id": str(organization_id),
        "aggregate_type": "deal",
        "aggregate_id": str(deal_id),
        "aggregate_version": 1,
        "occurred_at": "2026-03-01T09:30:00.123456+00:00",
        "recorded_at": "2026-03-01T09:30:00.223456+00:00",
        "actor": "user",
        "actor_id": str(deal_id),
        "causation_id": None,
        "correlation_id": str(event_id),
        "depth": 0,
    }
    head = json.dumps(envelope, separators=(",", ":"))
    value = f'{head[:-1]},"data":{{"currency": "EUR", "amount_minor": {number}}}}}'.encode()
    key = key_of(organization_id, deal_id)
    return OutgoingRecord(DealEvent.topic, partition_of(key), key, value, [(EPOCH_HEADER, str(epoch).encode())])
