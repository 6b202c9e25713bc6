"""Topics on a real broker: made when missing, checked when present, told apart by their identity."""

from collections.abc import Iterable, Mapping
from time import monotonic, sleep
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import IncompatibleBrokerVersion, KafkaError, NoError, TopicAlreadyExistsError, for_code

from bus.connection import Connector
from bus.records import Partition, TransportError
from bus.topics import TOPICS
from contracts.settings import KafkaSettings

_REQUEST_TIMEOUT_MS = 10_000
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1
_ASK_OTHERS_SECONDS = 1.0


class KafkaAdmin:
    """An open admin connection. Not for several threads at once."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._replication_factor = settings.kafka_replication_factor
        self._min_insync_replicas = settings.kafka_min_insync_replicas
        connector = Connector(settings)
        try:
            self._client = KafkaAdminClient(**connector.options, request_timeout_ms=_REQUEST_TIMEOUT_MS)
        except KafkaError as error:
            raise connector.no_broker(error) from error

    def ensure_topics(self) -> None:
        """Create the topics of `bus.topics` that do not exist yet, and widen those that are too narrow.

        Brokers make a topic when somebody asks about it, with as many partitions as they like (the embedded one does
        so even when asked not to). Where the broker cannot add partitions, such a topic is made anew: so call this
        only when what the topics hold is not needed, that is at the beginning of an epoch.

        Raises:
            TransportError: the broker refused.
        """
        try:
            for _ in range(_ATTEMPTS):
                wrong = self._wrong_topics()
                if not wrong:
                    return
                for name, partitions in wrong.items():
                    if partitions:
                        self._widen(name)
                self._create(self._wrong_topics())
                self._client.wait_for_topics(list(wrong))
        except KafkaError as error:
            raise TransportError(f"cannot make topics: {error}") from error
        raise TransportError(f"cannot make topics: {', '.join(self._wrong_topics())} stay as they are")

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Identity of each topic that exists (empty for brokers older than 2.8, which have none)."""
        return {topic["name"]: str(topic.get("topic_id") or "") for topic in self._describe(topics)}

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """All partitions that the topics have now: an operator may add some at any time."""
        return [
            Partition(topic["name"], partition["partition_index"])
            for topic in self._describe(topics)
            for partition in topic["partitions"]
        ]

    def ailments(self, partitions: Iterable[Partition]) -> list[str]:
        """What keeps each of these partitions from taking records, as far as the broker that answers knows.

        Raises:
            TransportError: no broker answers.
        """
        wanted = set(partitions)
        found: dict[Partition, str | None] = {}
        for topic in self._describe({place.topic for place in wanted}):
            for partition in topic["partitions"]:
                place = Partition(topic["name"], partition["partition_index"])
                found[place] = self._ailment(partition)
        ailing = [(place, found.get(place, "does not exist")) for place in sorted(wanted)]
        return [f"{place.topic}-{place.number} {ailment}" for place, ailment in ailing if ailment]

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()

    def _describe(self, topics: Iterable[str]) -> list[dict[str, Any]]:
        """What the broker says of each topic that exists. When one dies while it is asked, another can answer."""
        wanted, deadline = list(topics), monotonic() + _ASK_OTHERS_SECONDS
        while True:
            try:
                described = self._client.describe_topics(wanted)
            except KafkaError as error:
                if not error.retriable or monotonic() > deadline:
                    raise TransportError(f"cannot describe topics: {error}") from error
                sleep(_PAUSE_SECONDS)
            else:
                return [topic for topic in described if topic["error_code"] == 0]

    def _wrong_topics(self) -> dict[str, int]:
        """Topics without enough partitions, and how many they have."""
        described = self._client.describe_topics(list(TOPICS))
        present = {topic["name"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}
        return {name: present.get(name, 0) for name, (count, _) in TOPICS.items() if present.get(name, 0) < count}

    def _ailment(self, partition: Mapping[str, Any]) -> str | None:
        in_sync, needed = len(partition["isr_nodes"]), self._min_insync_replicas
        if partition["leader_id"] < 0:
            return "has no leader"
        return f"has {in_sync} of {needed} copies in sync" if in_sync < needed else None

    def _widen(self, name: str) -> None:
        try:
            self._client.create_partitions({name: TOPICS[name][0]}, timeout_ms=_REQUEST_TIMEOUT_MS)
        except IncompatibleBrokerVersion:
            self._client.delete_topics([name], timeout_ms=_REQUEST_TIMEOUT_MS)

    def _create(self, names: Iterable[str]) -> None:
        """Create topics in one request. They may exist by now: another process was faster, or asked about them."""
        replication = {"min.insync.replicas": str(self._min_insync_replicas)}
        topics = {
            name: {
                "num_partitions": TOPICS[name][0],
                "replication_factor": self._replication_factor,
                "configs": TOPICS[name][1] | replication,
            }
            for name in names
        }
        if not topics:
            return
        created = self._client.create_topics(topics, timeout_ms=_REQUEST_TIMEOUT_MS, raise_errors=False)
        for topic in created["topics"]:
            error = for_code(topic["error_code"])
            if error not in (NoError, TopicAlreadyExistsError):
                raise error(topic.get("error_message") or topic["name"])
