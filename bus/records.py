"""What goes through the transport, and the two interfaces (`Producer`, `Consumer`) that Kafka and memory share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class TransportError(Exception):
    """The broker could not be reached or refused; nothing is known to have happened. Worth another attempt later."""


class OffsetLostError(TransportError):
    """The broker no longer has the record that a consumer asked for: going on would skip records."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Message(NamedTuple):
    """A received record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to send. The caller picks the partition (see `bus.partitioner`)."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes on the wire, roughly."""
        size = len(self.key) + len(self.value or b"")
        for name, content in self.headers:
            size += len(name) + len(content)
        return size


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has the record, here."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class SendFailure:
    """The broker did not confirm the record. `is_permanent`: sending the same record again cannot help."""

    reason: str
    is_permanent: bool = False


class Producer(Protocol):
    """Sends records and waits for the broker's word on each."""

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        """One outcome per record, in order. Of one partition, no record is sent after one that failed."""

    def close(self) -> None:
        """Give up the connection."""


class Consumer(Protocol):
    """Reads partitions from offsets that the caller keeps."""

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read exactly these partitions from these offsets on."""

    def poll(self, timeout: float) -> Mapping[Partition, Sequence[Message]]:
        """Next records, waiting up to `timeout` seconds for the first.

        Raises:
            OffsetLostError: an assigned offset is gone.
            TransportError: the broker refused.
        """

    def ends(self) -> Mapping[Partition, int]:
        """Offset behind the last record of each assigned partition, as far as it is known by now."""

    def close(self) -> None:
        """Give up the connection."""


class Admin(Protocol):
    """Makes topics and says which they are."""

    def ensure_topics(self) -> None:
        """Create the topics of `bus.topics` that do not exist yet."""

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Identity of each topic that exists: a topic made anew under an old name has another one."""

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """All partitions that the topics have now."""

    def close(self) -> None:
        """Give up the connection."""
