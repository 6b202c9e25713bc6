"""Kafka topics: one per domain, keyed so that the events of one aggregate share a partition.

An event's topic stands on the base class of its aggregate.
"""

from uuid import UUID

from contracts.events.registry import EVENTS

PARTITIONS_PER_TOPIC = 6

#: Messages that no consumer can read, with the reason in a header.
DEAD_LETTER_TOPIC = "sluice.dead-letter"

#: Holds one marker record: when it is gone or different, the broker lost its data.
EPOCH_TOPIC = "sluice.epoch"

#: Aggregate type -> the topic that carries its events.
TOPIC_OF_AGGREGATE: dict[str, str] = {event.aggregate_type: event.topic for event in EVENTS.values()}

#: The topics that carry events.
EVENT_TOPICS: tuple[str, ...] = tuple(sorted(set(TOPIC_OF_AGGREGATE.values())))


def topic_of(aggregate_type: str) -> str:
    """Topic of an aggregate type.

    Raises:
        KeyError: the aggregate type has no topic.
    """
    return TOPIC_OF_AGGREGATE[aggregate_type]


def key_of(organization_id: UUID | str, aggregate_id: UUID | str) -> bytes:
    """Partition key of an aggregate's events."""
    return f"{organization_id}:{aggregate_id}".encode()
