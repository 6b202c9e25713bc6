"""Records on their way from the broker to the warehouse: read, not yet committed, their offsets without gaps."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bus.records import Message, Partition
from ingest.sinks.interface import OffsetRange

_COMMIT_SECONDS = 0.75
_FLUSH_RECORDS = 10_000
_FULL_RECORDS = 40_000
_FULL_BYTES = 32 * 1024 * 1024


@dataclass
class Buffer:
    """Fills while the batch before it is written."""

    messages: dict[Partition, list[Message]] = field(default_factory=dict)
    ranges: dict[Partition, OffsetRange] = field(default_factory=dict)
    records: int = 0
    size: int = 0

    def add(self, polled: Mapping[Partition, Sequence[Message]], positions: dict[Partition, int]) -> None:
        """Take records over and move `positions` behind them."""
        for place, messages in polled.items():
            start = self.ranges[place].start if place in self.ranges else positions[place]
            positions[place] = messages[-1].offset + 1
            self.ranges[place] = OffsetRange(start, positions[place])
            self.messages.setdefault(place, []).extend(messages)
            self.records += len(messages)
            self.size += sum(len(message.value or b"") for message in messages)

    def is_due(self, *, since_last: float) -> bool:
        """Whether it should be written now, that many seconds after the batch before it was begun.

        What comes after a silence goes at once; a steady trickle is gathered, as each commit has its price.
        """
        if not self.records:
            return False
        return self.records >= _FLUSH_RECORDS or self.is_full() or since_last >= _COMMIT_SECONDS

    def is_full(self) -> bool:
        """Whether nothing more should be read before it is written."""
        return self.records >= _FULL_RECORDS or self.size >= _FULL_BYTES

    def drop(self, places: Collection[Partition]) -> None:
        """Forget what was read of some partitions: somebody else will load it."""
        for place in places:
            dropped = self.messages.pop(place, [])
            self.ranges.pop(place, None)
            self.records -= len(dropped)
            self.size -= sum(len(message.value or b"") for message in dropped)
