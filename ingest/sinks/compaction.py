"""Merges the small files that a loader's commits leave in a Delta table, and removes what nobody reads any more.

Only settled files are merged, in the order in which they were loaded: a refresh reads each file that may hold rows
newer than it has seen, so new rows must never share a file with old ones. The swap is one commit that says "no data
changed"; it fails when anybody else commits first, and is tried again while the merged files are still the table's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from ingest.sinks.delta_files import write_aside
from ingest.sinks.interface import Compaction

#: A file is settled when the table has rows loaded this much later. More than dbt's `reread_minutes`, but not much:
#: each file that is left costs every commit of the loader some time.
SETTLED_AFTER = timedelta(minutes=6)
#: Files that were replaced are kept this long, for readers that opened the table before.
KEEP_HOURS = 2
_TARGET_BYTES = 64 * 1024 * 1024
_FEWEST_FILES = 8
_ATTEMPTS = 30


@dataclass(frozen=True)
class SmallFile:
    """A file of the table's present version."""

    path: str
    size: int
    newest_loaded_at: datetime | None


def compact(table: DeltaTable, folder: Path) -> Compaction:
    """Merge and tidy up; running loaders and readers are not disturbed.

    Raises:
        DeltaError, OSError: the table cannot be read or written. Nothing is lost.
    """
    before = list_files(table)
    for group in plan_merges(before):
        merged = merge_files(folder, group)
        if not swap_files(table, merged, group):
            for file in merged:
                (folder / file.path).unlink()
            break
    deleted = table.vacuum(retention_hours=KEEP_HOURS, dry_run=False, enforce_retention_duration=False, full=True)
    after = list_files(table)
    return Compaction(
        len(before), len(after), sum(file.size for file in before), sum(file.size for file in after), len(deleted)
    )


def list_files(table: DeltaTable) -> list[SmallFile]:
    """Files of the newest version."""
    table.update_incremental()
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    newest = actions["max.loaded_at"] if "max.loaded_at" in actions.columns else [None] * actions.height
    return [
        SmallFile(path, size, moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC))
        for path, size, moment in zip(actions["path"], actions["size_bytes"], newest, strict=True)
    ]


def plan_merges(files: Sequence[SmallFile]) -> list[list[SmallFile]]:
    """Groups of files to merge, each into one of about the target size; the oldest first."""
    known = [(file.newest_loaded_at, file) for file in files if file.newest_loaded_at is not None]
    if not known:
        return []
    settled = max(moment for moment, _ in known) - SETTLED_AFTER
    ordered = sorted((moment, file.path, file) for moment, file in known if moment < settled)
    groups: list[list[SmallFile]] = [[]]
    for _, _, file in ordered:
        if sum(one.size for one in groups[-1]) + file.size > _TARGET_BYTES:
            groups.append([])
        groups[-1].append(file)
    # a few files are left until there are more: else each run would write the youngest group anew
    return [group for group in groups if len(group) >= _FEWEST_FILES]


def merge_files(folder: Path, group: Sequence[SmallFile]) -> list[AddAction | RemoveAction]:
    """Write the rows of a group, in their order, into a new file or a few, which are not the table's yet."""
    schema = pq.read_schema(folder / group[0].path)
    rows = pa.RecordBatchReader.from_batches(schema, _read_chunks(folder, group))
    aside = write_aside(folder, rows, purpose="merge")
    try:
        return aside.move(data_change=False)
    finally:
        aside.discard()


def swap_files(table: DeltaTable, merged: Sequence[AddAction | RemoveAction], group: Sequence[SmallFile]) -> bool:
    """Put the merged files in place of a group, in one commit; False where the group is no longer the table's."""
    for _ in range(_ATTEMPTS):
        present = {file.path: file for file in list_files(table)}
        if any(file.path not in present for file in group):
            return False
        removed = [
            RemoveAction(file.path, data_change=False, deletion_timestamp=_milliseconds(), size=file.size)
            for file in group
        ]
        try:
            table.create_write_transaction(
                [*merged, *removed],
                mode="append",
                schema=table.schema(),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            continue  # somebody was faster: look again whether the files are still there
        return True
    return False


def _read_chunks(folder: Path, group: Sequence[SmallFile]) -> Iterator[pa.RecordBatch]:
    for file in group:
        yield from pq.ParquetFile(folder / file.path).iter_batches()


def _milliseconds() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
