"""Messages that no consumer can read go to a topic of their own, one by one, with the reason in a header.

A breaker stops that when too many are unreadable: then not the messages are wrong but this program, and sending a
whole stream to the dead letters would hide it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.producer import MAX_RECORD_BYTES
from bus.records import Message, OutgoingRecord, Producer, SendFailure, TransportError
from contracts.topics import DEAD_LETTER_TOPIC

_HEADER_BYTES = 1_000
_KEY_BYTES = 10_000


class TooManyInvalidError(Exception):
    """More messages are unreadable than chance explains."""


@dataclass
class InvalidRatioBreaker:
    """Counts messages over a sliding window and refuses when too many of them were unreadable."""

    max_ratio: float = 0.05
    min_invalid: int = 50
    window_seconds: float = 300.0
    _counts: deque[tuple[float, int, int]] = field(default_factory=deque)

    def record(self, now: float, *, valid: int, invalid: int) -> None:
        """Count messages seen at `now` (monotonic seconds).

        Raises:
            TooManyInvalidError: over the window, at least `min_invalid` and more than `max_ratio` were unreadable.
                What was seen now is not counted then, so the same messages may be tried again.
        """
        while self._counts and self._counts[0][0] < now - self.window_seconds:
            self._counts.popleft()
        total_invalid = invalid + sum(count for _, _, count in self._counts)
        total = valid + invalid + sum(good + bad for _, good, bad in self._counts)
        if invalid and total_invalid >= self.min_invalid and total_invalid > self.max_ratio * total:
            raise TooManyInvalidError(f"{total_invalid} of {total} messages are unreadable")
        self._counts.append((now, valid, invalid))


@dataclass
class DeadLetters:
    """The dead-letter topic."""

    producer: Producer
    consumer_name: str

    def put(self, rejected: Iterable[tuple[Message, str]]) -> None:
        """Store unreadable messages with the reason, and where they were read.

        Raises:
            TransportError: not all of them are stored.
        """
        records = [self._record(message, reason) for message, reason in rejected]
        for outcome in self.producer.send_all(records):
            if isinstance(outcome, SendFailure):
                raise TransportError(f"cannot store dead letters: {outcome.reason}")

    def _record(self, message: Message, reason: str) -> OutgoingRecord:
        headers = [
            ("reason", reason.encode()[:_HEADER_BYTES]),
            ("consumer", self.consumer_name.encode()),
            ("topic", message.topic.encode()),
            ("partition", str(message.partition).encode()),
            ("offset", str(message.offset).encode()),
        ]
        key = bytes(message.key or b"")[:_KEY_BYTES]
        value = None if message.value is None else bytes(message.value)[: MAX_RECORD_BYTES - 20_000]
        return OutgoingRecord(DEAD_LETTER_TOPIC, 0, key, value, headers)
