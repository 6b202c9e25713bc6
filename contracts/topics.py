"""Kafka topics: one per domain, keyed so that the events of one aggregate share a partition."""

from enum import StrEnum
from uuid import UUID

PARTITIONS_PER_TOPIC = 6


class Topic(StrEnum):
    """The topics that carry events."""

    IDENTITY = "sluice.identity"
    RELATIONS = "sluice.relations"
    PIPELINES = "sluice.pipelines"
    DEALS = "sluice.deals"
    IMPORTS = "sluice.imports"


#: Messages that no consumer can read, with the reason in a header.
DEAD_LETTER_TOPIC = "sluice.dead-letter"

#: Holds one marker record: when it is gone or different, the broker lost its data.
EPOCH_TOPIC = "sluice.epoch"

_TOPIC_OF_AGGREGATE: dict[str, Topic] = {
    "organization": Topic.IDENTITY,
    "user": Topic.IDENTITY,
    "team": Topic.IDENTITY,
    "contact": Topic.RELATIONS,
    "company": Topic.RELATIONS,
    "pipeline": Topic.PIPELINES,
    "stage": Topic.PIPELINES,
    "deal": Topic.DEALS,
    "import": Topic.IMPORTS,
}


def topic_of(aggregate_type: str) -> Topic:
    """Topic of an aggregate type.

    Raises:
        KeyError: the aggregate type has no topic.
    """
    return _TOPIC_OF_AGGREGATE[aggregate_type]


def aggregate_types_of(topic: Topic) -> list[str]:
    """Aggregate types whose events a topic carries."""
    return [aggregate_type for aggregate_type, its_topic in _TOPIC_OF_AGGREGATE.items() if its_topic is topic]


def key_of(organization_id: UUID | str, aggregate_id: UUID | str) -> bytes:
    """Partition key of an aggregate's events."""
    return f"{organization_id}:{aggregate_id}".encode()
