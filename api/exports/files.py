"""Rows into files: CSV as it goes, workbooks and Parquet through a file on disk. Memory does not grow with the rows."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from api.edge.cells import RISKY, guard

#: Cells column by column, some thousands of rows at a time.
Rows = AsyncIterator[Sequence[Sequence[Any]]]
#: Rows that a sheet of a workbook holds, its headings included.
_ROWS_OF_A_SHEET = 1_048_576


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def text_of(value: object) -> str:
    """A cell's text: instants in UTC, to the microsecond where they have one."""
    if value is None:
        return ""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime | date) else str(value)


async def csv_lines(columns: Sequence[str], rows: Rows) -> AsyncIterator[bytes]:
    """A CSV file, piece by piece, with the mark by which Excel knows UTF-8."""
    yield b"\xef\xbb\xbf" + _csv([[guard(name)] for name in columns])
    written: asyncio.Future[bytes] | None = None
    try:
        # the next rows are read while those before are written
        async for batch in rows:
            before, written = written, asyncio.ensure_future(asyncio.to_thread(_csv, batch))
            if before is not None:
                yield await before
        if written is not None:
            yield await written
    finally:
        if written is not None:
            written.cancel()


def _csv(batch: Sequence[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows(zip(*map(_guarded, batch), strict=True))
    return stream.getvalue().encode()


def _guarded(column: Sequence[Any]) -> list[str]:
    return [
        "" if one is None else one if type(one) is str and one[:1] not in RISKY else guard(text_of(one))
        for one in column
    ]


async def write_xlsx(path: Path, columns: Sequence[str], rows: Rows) -> None:
    """A workbook of text cells: none of them can be a formula. A full sheet goes on in the next one."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    workbook = xlsxwriter.Workbook(str(path), {**options, "strings_to_numbers": False})
    sheet, number = None, 0
    async for batch in rows:
        for row in zip(*batch, strict=True):
            if sheet is None or number == _ROWS_OF_A_SHEET:
                sheet, number = _new_sheet(workbook, columns), 1
            sheet.write_row(number, 0, [text_of(value) for value in row])
            number += 1
        await asyncio.sleep(0)
    if sheet is None:
        _new_sheet(workbook, columns)
    await asyncio.to_thread(workbook.close)


def _new_sheet(workbook: Any, columns: Sequence[str]) -> Any:  # noqa: ANN401 # the library has no types
    sheet = workbook.add_worksheet()
    sheet.write_row(0, 0, columns)
    return sheet


async def write_parquet(path: Path, columns: Sequence[str], rows: Rows) -> None:
    """A Parquet file of text columns, one group of rows per batch."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        async for batch in rows:
            await asyncio.to_thread(_write_group, writer, schema, batch)


def _write_group(writer: pq.ParquetWriter, schema: pa.Schema, batch: Sequence[Sequence[Any]]) -> None:
    arrays = [pa.array([None if value is None else text_of(value) for value in column]) for column in batch]
    typed = [array.cast(pa.string()) for array in arrays]
    writer.write_batch(pa.record_batch(typed, schema=schema))
