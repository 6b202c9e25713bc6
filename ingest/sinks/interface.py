"""What the loader, reconcile and rebuild may ask of a warehouse's raw relation."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from time import time_ns
from typing import NamedTuple, Protocol
from uuid import UUID

import polars as pl

from bus.records import Partition
from contracts.warehouse import RAW_EVENT_COLUMNS


class SinkUnavailableError(Exception):
    """The warehouse cannot be read or written now (down, full, locked); nothing was committed."""


class OffsetConflictError(Exception):
    """The sink's offsets are not those the caller began from: somebody else loaded these records. Nothing was done."""


class OffsetRange(NamedTuple):
    """Records of one partition: from `start` up to, not including, `next`."""

    start: int
    next: int


class GroupKey(NamedTuple):
    """The unit in which two copies of the events are compared. `day` is that of recorded_at in UTC."""

    organization_id: UUID
    type: str
    day: date


@dataclass(frozen=True)
class GroupSum:
    """How many events a group has, and the sum of their content hashes (60 bits each)."""

    count: int
    hash_sum: int


@dataclass(frozen=True)
class Compaction:
    """What a compaction did: files and bytes of the table before and after, and how many old files it deleted."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    deleted: int


#: Polars type of each raw column.
FRAME_SCHEMA: dict[str, pl.DataType] = {
    name: {
        "string": pl.String(),
        "int32": pl.Int32(),
        "int64": pl.Int64(),
        "timestamp": pl.Datetime("us", "UTC"),
    }[kind]
    for name, (kind, _) in RAW_EVENT_COLUMNS.items()
}


class RawSink(Protocol):
    """The raw relation of one warehouse."""

    def offsets(self, epoch: UUID) -> dict[Partition, int]:
        """Next offset to load of each partition that has any, within an epoch."""

    def append(self, rows: pl.DataFrame, *, epoch: UUID, ranges: Mapping[Partition, OffsetRange]) -> None:
        """Add rows and move the offsets, in one commit. No rows are fine: then only the offsets move.

        Raises:
            OffsetConflictError: an offset is not where its range starts.
            SinkUnavailableError: nothing was written.
        """

    def replace(self, blocks: Iterator[bytes], *, epoch: UUID | None, offsets: Mapping[Partition, int]) -> None:
        """Put the rows of the blocks in place of all rows and set the offsets of all of the epoch's partitions (those
        not named to 0), in one commit that readers see at once; a new generation begins. Blocks are whole rows of CSV,
        as `event_log.export_events` makes them. `epoch` None: nothing was ever published.

        Raises:
            SinkUnavailableError: nothing was changed.
        """

    def amend(self, event_ids: Collection[UUID], blocks: Iterator[bytes]) -> None:
        """Remove all rows of the events named and add the rows of the blocks, which are of some of these events, in
        one commit that readers see at once; a new generation begins. Offsets stay as they are.

        Raises:
            SinkUnavailableError: nothing was changed.
        """

    def forget(self, organization_ids: Collection[UUID]) -> int:
        """Remove all rows of some organizations in one commit, and say how many; a new generation begins if there were
        any.

        Raises:
            SinkUnavailableError: nothing was changed.
        """

    def recorded_since(self, loaded_at: datetime) -> dict[UUID, datetime]:
        """Oldest `recorded_at` among the rows loaded at an instant or later, of each organization that has any."""

    def generation(self) -> int:
        """When raw was last rewritten by `replace`, `amend` or `forget`, in microseconds of Unix time; 0 for never."""

    def group_sums(self) -> dict[GroupKey, GroupSum]:
        """Distinct events per group."""

    def hashes(self, key: GroupKey) -> dict[UUID, set[int]]:
        """Content hash of each event of a group; more than one where copies differ."""

    def holds_nothing(self) -> bool:
        """Whether there is no row, as in a warehouse that is new, or was removed."""

    def is_gone(self) -> bool:
        """Whether the relation that was opened is no longer there. Cheap."""

    def compact(self) -> Compaction | None:
        """Tidy up after many small commits; None where the warehouse does so by itself. Nobody is disturbed.

        Raises:
            SinkUnavailableError: the warehouse cannot be read or written.
        """

    def has_small_files(self) -> bool:
        """Whether a compaction would merge anything now. Cheap."""

    def close(self) -> None:
        """Give up connections."""


def next_generation(present: int) -> int:
    """A generation later than the present one, also where the clock was set back."""
    return max(present + 1, time_ns() // 1_000)
