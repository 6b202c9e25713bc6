"""Workbooks as they come: kinds of cells, several sheets, what is hidden, and what would not fit."""

import csv
import io
import random
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.imports import workbooks
from api.imports.problems import FileProblem
from api.imports.workbooks import as_text, turn_into_text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (True, "true"),
        (250, "250"),
        (1250.0, "1250"),
        (0.1 + 0.2, "0.3"),
        (1.125, "1.1250"),
        (1e20, "100000000000000000000"),
        (Decimal("12.50"), "12.5"),
        (datetime(2026, 5, 1), "2026-05-01"),  # noqa: DTZ001 # sheets know no zones
        (datetime(2026, 5, 1, 9, 30), "2026-05-01 09:30:00"),  # noqa: DTZ001
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01 00:00:00+00:00"),
        (date(2026, 5, 1), "2026-05-01"),
        (["a", 1], '["a", 1]'),
    ],
)
def test_a_cell_is_the_text_that_people_see(cell: object, text: str) -> None:
    assert as_text(cell) == text


def _saved(book: openpyxl.Workbook, folder: Path) -> Path:
    path = folder / "0.csv"
    book.save(path)
    return path


def test_sheets_with_the_same_headings_go_on_and_others_are_told_of(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    for row in (["external_id", "title"], ["1", "=1+1"], [], ["'2", -5]):
        first.append(row)
    first["B2"].data_type = "s"  # text that looks like a formula
    book.create_sheet("More").append(["external_id", "title"])
    book["More"].append(["3", None])
    book.create_sheet("Notes").append(["anything"])
    hidden = book.create_sheet("Hidden")
    hidden.append(["external_id", "title"])
    hidden.append(["4", "no"])
    hidden.sheet_state = "hidden"
    path = _saved(book, tmp_path)
    [note] = turn_into_text("deals.xlsx", path)
    assert "'Notes'" in note
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows == [["external_id", "title"], ["1", "'=1+1"], [], ["''2", "-5"], ["3", ""]]


def test_a_workbook_that_unpacks_into_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _saved(openpyxl.Workbook(), tmp_path)
    monkeypatch.setattr(workbooks, "LARGEST_UNPACKED", 1_000)
    with pytest.raises(FileProblem, match="too large"):
        turn_into_text("deals.xlsx", path)


def _text_of(rows: Sequence[Sequence[object]], folder: Path, formats: dict[str, str]) -> list[list[str]]:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    for place, shown in formats.items():
        if ":" in place:
            sheet.merge_cells(place)
        else:
            sheet[place].number_format = shown
    path = _saved(book, folder)
    assert turn_into_text("deals.xlsx", path) == []
    return list(csv.reader(io.StringIO(path.read_text())))


@pytest.mark.parametrize(
    ("value", "shown", "text"),
    [
        (1250, '"$"#,##0.00', "$ 1250"),
        (-1250.125, '#,##0.00\\ "€"', "'-€ 1250.1250"),
        (1250, "_-[$£-809]* #,##0.00_-;-[$£-809]* #,##0.00_-", "£ 1250"),
        (1250, "[$CHF] #,##0", "CHF 1250"),
        (1250, "#,##0.00 [$zł-415]", "zł 1250"),
        (1250, '#,##0 "seats"', "1250"),
        (1250, "#,##0.00", "1250"),
        (0.125, "0.0%", "12.5%"),
        (0.5, '0.0"%"', "0.5"),
        (1.23456789012346e17, "0", "1.23456789012346E+17"),
        (123456789012346000, "0", "1.23456789012346E+17"),
        (1234567890123456, "0", "1234567890123456"),
    ],
)
def test_a_currency_a_per_cent_and_lost_digits_are_seen_as_in_the_sheet(
    value: float, shown: str, text: str, tmp_path: Path
) -> None:
    assert _text_of([["amount"], [value]], tmp_path, {"A2": shown}) == [["amount"], [text]]


def test_the_currency_of_a_built_in_format_is_that_of_the_file_or_nobodys(tmp_path: Path) -> None:
    rows: list[list[object]] = [["amount"], [1250]]
    built_in = '_("$"* #,##0.00_)_("$"* \\(#,##0.00\\)_("$"* "-"??_)_(@_)'
    assert _text_of(rows, tmp_path, {"A2": built_in})[1] == ["1250"]


def test_what_was_never_computed_is_no_empty_cell(tmp_path: Path) -> None:
    assert _text_of([["amount", "title"], ["=B9*2", "x"]], tmp_path, {}) == [["amount", "title"], ["#CALC!", "x"]]


def test_a_cell_that_is_merged_downwards_counts_for_all_its_rows(tmp_path: Path) -> None:
    rows: list[list[object]] = [["owner", "title"], ["Ann", "a"], [None, "b"], [None, None], [None, "c"], [None, "d"]]
    read = _text_of(rows, tmp_path, {"A2:A5": ""})
    assert read == [["owner", "title"], ["Ann", "a"], ["Ann", "b"], ["", ""], ["Ann", "c"], ["", "d"]]
    assert _text_of([["Id", "Deal", None], [None, "title", "amount"]], tmp_path, {"A1:A2": "", "B1:C1": ""})[1] == [
        "Id", "title", "amount",
    ]  # fmt: skip


def _repacked(path: Path, part: str, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def test_a_sheet_that_says_a_wrong_size_is_read_whole(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["external_id", "title"], ["1", "a"], ["2", "b"]):
        book.active.append(row)
    path = _saved(book, tmp_path)
    _repacked(path, "xl/worksheets/sheet1.xml", b'<dimension ref="A1:B3"', b'<dimension ref="A1"')
    turn_into_text("deals.xlsx", path)
    assert path.read_text().split() == ["external_id,title", "1,a", "2,b"]


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("xl/worksheets/sheet1.xml", b'row r="2"', b'row r="999999999"'),
        ("xl/worksheets/sheet1.xml", b'row r="2"', b'row r="1"'),
        ("xl/worksheets/sheet1.xml", b"workbookViewId", b"workboocViewId"),
        ("xl/worksheets/sheet1.xml", b"</sheetData>", b""),
        ("xl/styles.xml", b"<styleSheet", b"<other"),
        ("xl/workbook.xml", b"sheetId", b"sheetIt"),
    ],
)
def test_a_damaged_workbook_is_refused_in_a_sentence(part: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["external_id", "title"], ["1", "a"]):
        book.active.append(row)
    path = _saved(book, tmp_path)
    _repacked(path, part, old, new)
    with pytest.raises(FileProblem, match="cannot be read"):
        turn_into_text("deals.xlsx", path)
    assert list(tmp_path.glob("*.text")) == []


def test_noise_in_workbooks_and_parquet_is_refused_or_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["external_id", "created_at"])
    book.active.append(["1", datetime(2026, 5, 1, 9, 30)])  # noqa: DTZ001 # sheets know no zones
    path = _saved(book, tmp_path)
    workbook = path.read_bytes()
    pq.write_table(pa.table({"external_id": ["1"], "at": pa.array([1], pa.timestamp("us", "Europe/Berlin"))}), path)
    noise = random.Random(14)
    for whole in (workbook, path.read_bytes()):
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(noise.choice((1, 3, 30))):
                damaged[noise.randrange(4, len(damaged))] = noise.randrange(256)
            path.write_bytes(damaged)
            with suppress(FileProblem):
                turn_into_text("deals", path)


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("us", "Nowhere/Town"), pa.date32()])
def test_a_moment_that_no_calendar_has_makes_a_parquet_file_unreadable(kind: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "0.csv"
    pq.write_table(pa.table({"at": pa.array([2**31 - 1 if kind == pa.date32() else 2**60], kind)}), path)
    with pytest.raises(FileProblem, match="Parquet file that cannot be read"):
        turn_into_text("deals.parquet", path)
