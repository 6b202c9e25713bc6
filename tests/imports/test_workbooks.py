"""Workbooks as they come: kinds of cells, several sheets, what is hidden, and what would not fit."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
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
    assert rows == [["external_id", "title"], ["1", "'=1+1"], ["", ""], ["''2", "-5"], ["3", ""]]


def test_a_workbook_that_unpacks_into_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _saved(openpyxl.Workbook(), tmp_path)
    monkeypatch.setattr(workbooks, "LARGEST_UNPACKED", 1_000)
    with pytest.raises(FileProblem, match="too large"):
        turn_into_text("deals.xlsx", path)
