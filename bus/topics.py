"""The topics as the broker must have them: partitions and retention. Their names are in `contracts.topics`."""

from contracts.topics import DEAD_LETTER_TOPIC, EPOCH_TOPIC, EVENT_TOPICS, PARTITIONS_PER_TOPIC

_DAY_MS = 86_400_000

#: Events can be published again from PostgreSQL, so Kafka need not keep them for ever: a month covers any outage.
_EVENTS = {"retention.ms": str(30 * _DAY_MS)}
_FOREVER = {"retention.ms": "-1"}

#: name -> (partitions, configuration)
TOPICS: dict[str, tuple[int, dict[str, str]]] = {
    **dict.fromkeys(EVENT_TOPICS, (PARTITIONS_PER_TOPIC, _EVENTS)),
    DEAD_LETTER_TOPIC: (1, _FOREVER),
    EPOCH_TOPIC: (1, _FOREVER),
}
