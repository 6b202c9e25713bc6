"""Rows as files of a Delta table: CSV into Arrow a block at a time, written aside and then swapped in without a copy.

Files are written in a folder beside the table, by Delta itself, so that they have its statistics. Swapping in moves
them and commits their names: as short for a hundred million rows as for one.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from ingest.sinks.interface import FRAME_SCHEMA, SinkUnavailableError

ARROW_SCHEMA = pa.schema(
    [
        pa.field(name, {pl.Int32: pa.int32(), pl.Int64: pa.int64(), pl.String: pa.string()}.get(type(kind)))
        if not isinstance(kind, pl.Datetime)
        else pa.field(name, pa.timestamp("us", "UTC"))
        for name, kind in FRAME_SCHEMA.items()
    ]
)
_ZSTD = WriterProperties(compression="ZSTD")
_NAMES = arrow_csv.ReadOptions(column_names=ARROW_SCHEMA.names)
_TYPES = arrow_csv.ConvertOptions(
    column_types=ARROW_SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
)


@dataclass(frozen=True)
class FilesAside:
    """Files of new rows, not yet part of the table."""

    folder: Path
    table_folder: Path
    added: list[dict[str, Any]]

    def move(self, *, data_change: bool = True) -> list[AddAction | RemoveAction]:
        """Move the files to the table's, where a commit may name them. May be called again."""
        for file in self.added:
            path = self.folder / file["path"]
            if path.exists():
                with path.open("rb") as written:
                    os.fsync(written.fileno())  # what they replace may go once they are the table's
                path.rename(self.table_folder / file["path"])
        return [
            AddAction(file["path"], file["size"], {}, file["modificationTime"], data_change, file["stats"])
            for file in self.added
        ]

    def swap_in(self, table: DeltaTable, properties: CommitProperties) -> None:
        """Make these files all that the table has, in one commit. May be tried again after a conflict.

        Raises:
            CommitFailedError: somebody else committed meanwhile; nothing was changed.
        """
        table.create_write_transaction(self.move(), "overwrite", table.schema(), commit_properties=properties)

    def discard(self) -> None:
        """Remove what was not swapped in; files that were moved without a commit go with the next vacuum."""
        shutil.rmtree(self.folder, ignore_errors=True)


def write_aside(table_folder: Path, rows: pa.RecordBatchReader, *, purpose: str = "rebuild") -> FilesAside:
    """Write rows beside a table. Memory does not grow with their number.

    Raises:
        SinkUnavailableError: they cannot be written; nothing is left behind.
    """
    folder = table_folder.with_name(f"{table_folder.name}.{purpose}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        write_deltalake(str(folder), rows, mode="overwrite", writer_properties=_ZSTD)
        log = folder / "_delta_log" / f"{0:020d}.json"
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (DeltaError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SinkUnavailableError(f"cannot write {folder}: {error}") from error
    return FilesAside(folder, table_folder, [entry["add"] for entry in entries if "add" in entry])


def read_blocks(blocks: Iterator[bytes]) -> pa.RecordBatchReader:
    """Arrow batches of the raw relation from whole rows of CSV, each block when it is asked for."""
    return pa.RecordBatchReader.from_batches(ARROW_SCHEMA, _batches(blocks))


def _batches(blocks: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
    for block in blocks:
        rows = arrow_csv.read_csv(pa.BufferReader(block), read_options=_NAMES, convert_options=_TYPES)
        yield from rows.to_batches()
