"""Merges the small files that a loader's commits leave in a Delta table, and removes what nobody reads any more.

Only settled files are merged, in the order in which they were loaded: a refresh reads each file that may hold rows
newer than it has seen, so new rows must never share a file with old ones. The swap is one commit that says "no data
changed"; it fails when anybody else commits first, and is tried again while the merged files are still the table's.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

#: A file is settled when the table has rows loaded this much later. More than dbt's `reread_minutes`, but not much:
#: each file that is left costs every commit of the loader some time.
SETTLED_AFTER = timedelta(minutes=6)
#: Files that were replaced are kept this long, for readers that opened the table before.
KEEP_HOURS = 2
_TARGET_BYTES = 64 * 1024 * 1024
_FEWEST_FILES = 8
_ROW_GROUP_ROWS = 100_000
_ATTEMPTS = 30
_STATISTICS = ("occurred_at", "recorded_at", "loaded_at", "aggregate_version", "offset")


@dataclass(frozen=True)
class Compaction:
    """What a compaction did: files and bytes of the table before and after, and how many old files it deleted."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    deleted: int


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
            (folder / merged.path).unlink()
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


def merge_files(folder: Path, group: Sequence[SmallFile]) -> AddAction:
    """Write the rows of a group into one new file, which is not the table's yet."""
    name = f"part-merged-{uuid4()}.zstd.parquet"
    extremes: dict[str, tuple[Any, Any]] = {}
    rows = 0
    with (folder / name).open("wb") as file:
        writer: pq.ParquetWriter | None = None
        for chunk in _read_chunks(folder, group):
            writer = writer or pq.ParquetWriter(file, chunk.schema, compression="zstd")
            writer.write_table(chunk, row_group_size=_ROW_GROUP_ROWS)
            rows += chunk.num_rows
            for column in _STATISTICS:
                _widen(extremes, column, pc.min_max(chunk[column]).as_py())
        if writer is not None:
            writer.close()
        file.flush()
        os.fsync(file.fileno())
    statistics = {
        "numRecords": rows,
        "minValues": {column: _as_json(least) for column, (least, _) in extremes.items()},
        "maxValues": {column: _as_json(most) for column, (_, most) in extremes.items()},
        "nullCount": dict.fromkeys(extremes, 0),
    }
    return AddAction(
        path=name,
        size=(folder / name).stat().st_size,
        partition_values={},
        modification_time=_milliseconds(),
        data_change=False,
        stats=json.dumps(statistics),
    )


def swap_files(table: DeltaTable, merged: AddAction, group: Sequence[SmallFile]) -> bool:
    """Put the merged file in place of a group, in one commit; False where the group is no longer the table's."""
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
                [merged, *removed],
                mode="append",
                schema=table.schema(),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            continue  # somebody was faster: look again whether the files are still there
        return True
    return False


def _read_chunks(folder: Path, group: Sequence[SmallFile]) -> Iterator[pa.Table]:
    """Rows of the group's files in order, about a row group at a time."""
    tables: list[pa.Table] = []
    rows = 0
    for file in group:
        for batch in pq.ParquetFile(folder / file.path).iter_batches(_ROW_GROUP_ROWS):
            tables.append(pa.Table.from_batches([batch]))
            rows += batch.num_rows
            if rows >= _ROW_GROUP_ROWS:
                yield pa.concat_tables(tables)
                tables, rows = [], 0
    if tables:
        yield pa.concat_tables(tables)


def _widen(extremes: dict[str, tuple[Any, Any]], column: str, found: dict[str, Any]) -> None:
    least, most = extremes.get(column, (found["min"], found["max"]))
    extremes[column] = (min(least, found["min"]), max(most, found["max"]))


def _as_json(value: object) -> object:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else value


def _milliseconds() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
