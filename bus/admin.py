"""Topics on a real broker: made when missing, checked when present, told apart by their identity."""

from collections.abc import Iterable

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from bus.connection import client_options
from bus.records import TransportError
from bus.topics import TOPICS
from contracts.settings import KafkaSettings

_REQUEST_TIMEOUT_MS = 10_000


class KafkaAdmin:
    """An open admin connection. Not for several threads at once."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._replication_factor = settings.kafka_replication_factor
        try:
            self._client = KafkaAdminClient(**client_options(settings), request_timeout_ms=_REQUEST_TIMEOUT_MS)
        except KafkaError as error:
            raise TransportError(f"no broker at {settings.kafka_bootstrap_servers}: {error}") from error

    def ensure_topics(self) -> None:
        """Create the topics of `bus.topics` that do not exist yet.

        Raises:
            TransportError: the broker refused, or a topic has fewer partitions than the keys are spread over.
        """
        try:
            partitions = self._partition_counts()
            for name, (count, configuration) in TOPICS.items():
                if name not in partitions:
                    self._create(name, count, configuration)
            self._client.wait_for_topics(list(TOPICS))
        except KafkaError as error:
            raise TransportError(f"cannot make topics: {error}") from error
        for name, (count, _) in TOPICS.items():
            if partitions.get(name, count) < count:
                raise TransportError(f"topic {name} has {partitions[name]} partitions, {count} are needed")

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Identity of each topic that exists (empty for brokers older than 2.8, which have none)."""
        try:
            described = self._client.describe_topics(list(topics))
        except KafkaError as error:
            raise TransportError(f"cannot describe topics: {error}") from error
        return {topic["name"]: str(topic.get("topic_id") or "") for topic in described if topic["error_code"] == 0}

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()

    def _partition_counts(self) -> dict[str, int]:
        described = self._client.describe_topics(list(TOPICS))
        return {topic["name"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}

    def _create(self, name: str, partitions: int, configuration: dict[str, str]) -> None:
        options = {
            "num_partitions": partitions,
            "replication_factor": self._replication_factor,
            "configs": configuration,
        }
        try:
            self._client.create_topics({name: options}, timeout_ms=_REQUEST_TIMEOUT_MS)
        except TopicAlreadyExistsError:
            return  # another process was faster
