"""Reads all events back from the broker, as a consumer that keeps nothing would."""

import json
from typing import Any
from uuid import UUID

from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.records import Message, Partition
from bus.topics import TOPICS
from contracts.settings import KafkaSettings
from contracts.topics import EVENT_TOPICS
from tests.conftest import RunningBroker


def read_events(broker: RunningBroker, *, at_least: int = 0) -> list[dict[str, Any]]:
    """Every event in the topics; within a partition in order."""
    settings = KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers)
    admin = KafkaAdmin(settings)
    admin.ensure_topics()
    admin.close()
    consumer = KafkaRecordConsumer(settings)
    consumer.assign({Partition(topic, number): 0 for topic in EVENT_TOPICS for number in range(TOPICS[topic][0])})
    events: list[dict[str, Any]] = []
    empty = 0
    while empty < 3 or len(events) < at_least:
        polled = consumer.poll(0.3)
        empty = 0 if polled else empty + 1
        assert empty < 40, f"only {len(events)} of {at_least} events arrived"
        for messages in polled.values():
            events.extend(json.loads(message.value or b"null") for message in messages)
    consumer.close()
    return events


def read_topic(broker: RunningBroker, topic: str, *, at_least: int) -> list[Message]:
    """Every message of one topic."""
    consumer = KafkaRecordConsumer(KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers))
    consumer.assign({Partition(topic, number): 0 for number in range(TOPICS[topic][0])})
    found: list[Message] = []
    for _ in range(50):
        for messages in consumer.poll(0.2).values():
            found.extend(messages)
        if len(found) >= at_least:
            break
    consumer.close()
    return found


def first_deliveries(events: list[dict[str, Any]]) -> dict[UUID, list[int]]:
    """Versions of each aggregate in the order in which a consumer that knows each event id first saw them."""
    seen: set[str] = set()
    versions: dict[UUID, list[int]] = {}
    for event in events:
        if event["id"] not in seen:
            seen.add(event["id"])
            versions.setdefault(UUID(event["aggregate_id"]), []).append(event["aggregate_version"])
    return versions
