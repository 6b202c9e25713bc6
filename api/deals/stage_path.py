"""A deal's path through stages: pure rules, no database.

The path is ordered by (occurred_at, aggregate_version). A backdated entry takes its place among the older ones, and the
present stage is the one entered last in that order. What is stored, and what is read back, is `move`'s and the
repository's business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.stages import StageKind


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """One entry of a deal into a stage, as its event tells it."""

    occurred_at: datetime
    version: int
    stage_id: UUID
    kind: StageKind

    @property
    def order(self) -> tuple[datetime, int]:
        """The key that orders a path."""
        return (self.occurred_at, self.version)


class StagePath:
    """The stages a deal entered, in the order in which it entered them."""

    def __init__(self, entries: Iterable[StageEntry]) -> None:
        self.entries: tuple[StageEntry, ...] = tuple(sorted(entries, key=lambda entry: entry.order))

    def at(self, instant: datetime) -> StageEntry | None:
        """The entry that put the deal where it was at `instant`; None before its creation."""
        earlier = [entry for entry in self.entries if entry.occurred_at <= instant]
        return earlier[-1] if earlier else None

    @property
    def present(self) -> StageEntry | None:
        """The entry into the present stage; None for a path without entries."""
        return self.entries[-1] if self.entries else None

    def with_entry(self, entry: StageEntry) -> "StagePath":
        """The path after one more entry, wherever its clock puts it."""
        return StagePath((*self.entries, entry))
