"""Workbooks and Parquet files, turned into the text that an import reads: each cell as it is shown.

A workbook is its first sheet that is shown, and those behind it that have the same headings. Numbers are written so
that nobody takes their point for a mark of thousands.
"""

import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from api.edge.cells import guard
from api.imports.problems import FileProblem
from api.imports.sheets import UnreadableWorkbookError, sheets, sound, written

#: How their names end.
WORKBOOKS = frozenset({".xlsx", ".xlsm", ".parquet"})
_ZIP_MAGIC, _PARQUET_MAGIC = b"PK\x03\x04", b"PAR1"
#: Bytes of a workbook when it is unpacked: a small file can hold very much of nothing.
LARGEST_UNPACKED = 1 << 30
_ROWS_AT_ONCE = 5_000
_BROKEN = (zipfile.BadZipFile, NotImplementedError, UnreadableWorkbookError)

Cells = Iterable[Sequence[Any]]


def turn_into_text(name: str, path: Path) -> list[str]:
    """Turn a workbook or a Parquet file into CSV, in place; answers what of it is not read. Others stay as they are.

    Raises:
        FileProblem: it is one, and cannot be read.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
    read = {_ZIP_MAGIC: _workbook, _PARQUET_MAGIC: _parquet}.get(magic)
    if read is None:
        return []
    text, notes = path.with_suffix(".text"), list[str]()
    try:
        with text.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([guard(as_text(cell)) for cell in row] for row in read(name, path, notes))
    except _BROKEN as error:
        text.unlink(missing_ok=True)
        what = "workbook or an archive" if magic == _ZIP_MAGIC else "Parquet file"
        problem = f"This is a {what} that cannot be read."
        raise FileProblem(name, problem, "Save the sheet as CSV (UTF-8) and try again.") from error
    text.replace(path)
    return notes


def _workbook(name: str, path: Path, notes: list[str]) -> Iterator[Sequence[Any]]:
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > LARGEST_UNPACKED:
            raise FileProblem(name, "The workbook is too large.", "Save the sheet as CSV (UTF-8) and try again.")
    headings: Sequence[Any] | None = None
    for title, rows in sheets(path):
        first = next(rows, [])
        if headings is None:
            headings = first
            yield first
        elif first != headings:
            if any(cell is not None for cell in first):
                notes.append(f"{name}: not read: the sheet {title!r}, whose headings are others.")
            continue
        yield from rows


def _parquet(_name: str, path: Path, _notes: list[str]) -> Iterator[Sequence[Any]]:
    return sound(_batches(path))


def _batches(path: Path) -> Iterator[Sequence[Any]]:
    with pq.ParquetFile(path) as file:
        yield file.schema_arrow.names
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def as_text(value: Any) -> str:  # noqa: ANN401 # whatever a cell holds
    """A cell's text. A moment at midnight is a day: that is what it means in a sheet."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        is_day = value.tzinfo is None and value.time() == time.min
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    return next((write(value) for kind, write in _WRITERS.items() if isinstance(value, kind)), str(value))


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    int: str,
    float: written,
    Decimal: written,
    date: lambda value: str(value.isoformat()),
    bytes: lambda value: str(value.decode("utf-8", errors="replace")),
    list: lambda value: json.dumps(value, default=str, ensure_ascii=False),
    dict: lambda value: json.dumps(value, default=str, ensure_ascii=False),
}
