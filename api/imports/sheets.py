"""Sheets of a workbook, row by row, each cell as it is shown: a currency's sign and a per cent are in a cell's format.

What of a cell cannot be known counts as a formula that failed, never as an empty cell: formulas that no program has
computed yet. A cell that is merged downwards counts for all rows that it stands beside.
"""

import re
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE
from openpyxl.utils.cell import column_index_from_string
from openpyxl.worksheet._reader import WorkSheetParser

from api.imports.amounts import MEANT

_BLOCK = 1 << 20
#: More bytes than any mention of a merged cell has.
_OVERLAP = 200
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]{0,100}?\bref="([A-Z]{1,3})([0-9]{1,7}):[A-Z]{1,3}([0-9]{1,7})"')
_FORMULA = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}f"
#: What a spreadsheet shows of a formula that waits.
_NOT_COMPUTED = "#CALC!"
#: A number of a spreadsheet has so many digits; what a longer one had is lost.
_DIGITS = 15
_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 1 << 14
_FORMAT_SAID = rb'<(?:\w+:)?numFmt\b[^>]*?\bnumFmtId="%d"'
#: What a format shows beside the number: a currency in brackets, text in quotes, one letter, a bare sign.
_BESIDE = re.compile(r'\[\$([^\]-]*)[^\]]*\]|"([^"]*)"|\\(.)|\[[^\]]*\]|[_*].|([$€£¥])')


class UnreadableWorkbookError(Exception):
    """A workbook or a Parquet file that is damaged, has a password, or is none."""


@dataclass
class _Look:
    """What cells of a style show beside their number."""

    signs: Mapping[int, str]
    hundredths: Collection[int]


class _Parser(WorkSheetParser):
    """Cells whose formula nobody has computed are no empty ones."""

    def parse_cell(self, element: Any) -> dict[str, Any]:  # noqa: ANN401 # of whichever XML library there is
        cell: dict[str, Any] = super().parse_cell(element)
        if cell["value"] is None and element.get("t") != "str" and element.find(_FORMULA) is not None:
            cell["value"] = _NOT_COMPUTED
        return cell


def sheets(path: Path) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    """The sheets of a workbook that are shown: title and rows.

    Raises:
        UnreadableWorkbookError: it cannot be read, or not to its end.
    """
    return sound(_sheets(path))


def sound(read: Iterator[Any]) -> Iterator[Any]:
    """The same; whatever a damaged file sets off in the libraries says that it is damaged.

    Raises:
        UnreadableWorkbookError: it is.
    """
    try:
        yield from read
    except UnreadableWorkbookError:
        raise
    except Exception as error:
        raise UnreadableWorkbookError from error


def _sheets(path: Path) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    # by its contents: what is called otherwise is refused by name
    with path.open("rb") as stream, closing(openpyxl.load_workbook(stream, read_only=True, data_only=True)) as book:
        look = _look(book, path)
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                yield sheet.title, sound(_rows(book, sheet, look))


def _look(book: Any, path: Path) -> _Look:  # noqa: ANN401 # what a book knows of its styles is its own
    with zipfile.ZipFile(path) as archive:
        styles = archive.read("xl/styles.xml") if "xl/styles.xml" in archive.namelist() else b""
    signs, hundredths = {}, set()
    for number, style in enumerate(book._cell_styles):
        known, key = style.numFmtId < BUILTIN_FORMATS_MAX_SIZE, style.numFmtId
        shown = BUILTIN_FORMATS.get(key, "") if known else book._number_formats[key - BUILTIN_FORMATS_MAX_SIZE]
        first = shown.split(";")[0]
        beside = ("".join(found).strip() for found in _BESIDE.findall(first))
        sign = next((text for text in beside if text.upper() in MEANT), None)
        # a format that a file does not spell out shows the currency of wherever it is opened
        if sign is not None and (not known or re.search(_FORMAT_SAID % key, styles)):
            signs[number] = sign
        if "%" in _BESIDE.sub("", first):
            hundredths.add(number)
    return _Look(signs, hundredths)


def _rows(book: Any, sheet: Any, look: _Look) -> Iterator[list[Any]]:  # noqa: ANN401 # as above
    with sheet._get_source() as source:
        merged = _merged(source)
    with sheet._get_source() as source:
        # not by the size that the sheet says it has: some programs write any
        parser = _Parser(
            source, sheet._shared_strings, data_only=True, epoch=book.epoch,
            date_formats=book._date_formats, timedelta_formats=book._timedelta_formats,
        )  # fmt: skip
        taken = width = 0
        for number, cells in parser.parse():
            if not taken < number <= _MOST_ROWS:
                raise UnreadableWorkbookError(number)
            yield from ([] for _ in range(taken + 1, number))
            taken = number
            row = merged.filled(number, _row(cells, look))
            width = max(width, len(row))
            # a row that is shorter than those above would look broken
            yield row + [None] * (width - len(row))


def _row(cells: Any, look: _Look) -> list[Any]:  # noqa: ANN401 # as the parser has them
    row: list[Any] = []
    for cell in cells:
        place = cell["column"] - 1
        if not 0 <= place < _MOST_COLUMNS:
            raise UnreadableWorkbookError(place)
        row.extend([None] * (place + 1 - len(row)))
        row[place] = _shown(cell["value"], cell["style_id"], look)
    while row and row[-1] is None:
        row.pop()
    return row


def _shown(value: Any, style: int, look: _Look) -> Any:  # noqa: ANN401 # whatever a cell holds
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if abs(value) >= 10**_DIGITS and (isinstance(value, float) or value % 10 ** (len(str(abs(value))) - _DIGITS) == 0):
        return f"{value:.{_DIGITS - 1}E}"
    exact = Decimal(f"{value:.{_DIGITS}g}") if isinstance(value, float) else Decimal(value)
    if style in look.hundredths:
        return f"{written(exact * 100)}%"
    if sign := look.signs.get(style):
        return f"{'-' if exact < 0 else ''}{sign} {written(abs(exact))}"
    return value


def written(value: float | Decimal) -> str:
    """A number's digits, so that nobody takes its point for a mark of thousands."""
    digits = f"{Decimal(f'{value:.{_DIGITS}g}') if isinstance(value, float) else value:f}"
    whole, point, decimals = digits.partition(".")
    decimals = decimals.rstrip("0")
    # three digits behind a point could be thousands
    return f"{whole}.{decimals}{'0' if len(decimals) == 3 else ''}" if point and decimals else whole


@dataclass
class _Merged:
    """Columns and last rows of cells that are merged downwards, by their first row."""

    begins: Mapping[int, Collection[tuple[int, int]]]
    open: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def filled(self, number: int, row: list[Any]) -> list[Any]:
        """A row that says more than nothing, with what stands in merged cells above."""
        for column, last in self.begins.get(number, ()):
            if column < len(row):
                self.open[column] = (last, row[column])
        self.open = {column: (last, value) for column, (last, value) in self.open.items() if number <= last}
        if row:
            for column, (_, value) in self.open.items():
                row.extend([None] * (column + 1 - len(row)))
                row[column] = value
        return row


def _merged(source: Any) -> _Merged:  # noqa: ANN401 # a stream of bytes
    begins: dict[int, set[tuple[int, int]]] = defaultdict(set)
    before = b""
    while block := source.read(_BLOCK):
        for column, first, last in _MERGED.findall(before + block):
            if int(last) > int(first):
                begins[int(first)].add((column_index_from_string(column.decode()) - 1, int(last)))
        before = block[-_OVERLAP:]
    return _Merged(begins)
