"""Reading a delimited file row by row: encoding, delimiter, headings, and rows that break the form.

Memory stays flat: lines are bounded, rows come one at a time. A row that cannot be read is handed out with its problem,
never dropped.
"""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TextIO

from api.imports.options import ImportOptions
from api.imports.problems import FileProblem

#: Longest line, in characters, that is read as a row.
MAX_LINE = 1_000_000
#: Most lines that one quoted cell may span: beyond it, a quote was opened and never closed.
MAX_LINES_IN_CELL = 1_000

_HEAD = 256 * 1024
_ONE_IN_TWENTY = 20
_DELIMITERS = (",", ";", "\t", "|")
_ZIP_MAGIC, _OLD_EXCEL_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
#: Headings that an error file adds; a mended error file is imported without them.
OWN_HEADING_PREFIX = "sluice_"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\0")

csv.field_size_limit(MAX_LINE * 2)


@dataclass(frozen=True)
class SourceRow:
    """One row: its number as a spreadsheet counts, its cells, and what kept it from being read, if anything."""

    number: int
    cells: list[str]
    problem: str | None = None
    fix: str = ""


@dataclass(frozen=True)
class Source:
    """A readable file: where it is, and how it is written."""

    name: str
    path: Path
    encoding: str
    delimiter: str
    headings: tuple[str, ...]

    def rows(self) -> Iterator[SourceRow]:
        """All rows after the headings, in order; empty ones are left out."""
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as stream:
            yield from _rows(stream, self.delimiter, len(self.headings))


def open_source(name: str, path: Path, *, options: ImportOptions) -> Source:
    """Find out how a file is written.

    Raises:
        FileProblem: it is empty, is no text, or has no headings.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise FileProblem(name, "The file is empty.", "Save it with a row of headings and at least one row of data.")
    _refuse_binary(name, head)
    encoding = _encoding(path, head=head, asked=options.encoding)
    delimiter = _delimiter(head.decode(encoding, errors="replace"), options.delimiter)
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        headings = _headings(name, text, delimiter)
    return Source(name=name, path=path, encoding=encoding, delimiter=delimiter, headings=headings)


def guard(cell: str) -> str:
    """A cell that no spreadsheet program takes for a formula; reading it back gives the cell again."""
    return f"'{cell}" if cell.startswith((*_FORMULA_STARTS, "'")) else cell


def _unguard(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in {*_FORMULA_STARTS, "'"} - {""} else cell


def _refuse_binary(name: str, head: bytes) -> None:
    if head.startswith((_ZIP_MAGIC, _OLD_EXCEL_MAGIC)):
        raise FileProblem(
            name, "This is a workbook or an archive, not a text file.", "Save the sheet as CSV (UTF-8) and try again."
        )
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # a stray NUL is one row's problem
    if not is_utf16 and head.count(0) * _ONE_IN_TWENTY > len(head):
        raise FileProblem(name, "This is a binary file, not a text file.", "Save the data as CSV and try again.")


def _encoding(path: Path, *, head: bytes, asked: str) -> str:
    if asked != "auto":
        return "utf-8-sig" if asked == "utf-8" else asked
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if _is_utf8(path):
        return "utf-8-sig"
    high = [byte for byte in head if byte >= 0x80]
    # CP1251 keeps the Russian alphabet in 0xC0-0xFF, so nearly every high byte lies there and they stand in words;
    # in Western European text accented letters stand alone between ASCII ones
    if not high:
        return "iso-8859-1"
    pairs = sum(1 for left, right in pairwise(head) if left >= 0xC0 and right >= 0xC0)
    return "cp1251" if pairs / len(high) > 0.4 else "cp1252" if any(0x80 <= b < 0xA0 for b in high) else "iso-8859-1"


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(head: str, asked: str) -> str:
    if asked != "auto":
        return "\t" if asked == "tab" else asked
    lines = [line for line in head.splitlines()[:50] if line.strip()]
    # the headings decide; quoted cells of data rows often hold commas
    first = next(iter(csv.reader(lines[:1])), [""]) if lines and lines[0].startswith('"') else None
    if first is not None and len(first) > 1:
        return ","
    heading = lines[0] if lines else ""
    return max(_DELIMITERS, key=heading.count) if any(mark in heading for mark in _DELIMITERS) else ","


def _headings(name: str, stream: TextIO, delimiter: str) -> tuple[str, ...]:
    line = stream.readline(MAX_LINE + 1)
    while line and not line.strip():
        line = stream.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        raise FileProblem(name, "The first line is longer than a million characters.", "Check what the file is.")
    row = next(csv.reader(chain([line], stream), delimiter=delimiter), [])
    headings = tuple(cell.strip().lstrip("\ufeff") for cell in row)
    if not any(headings):
        raise FileProblem(name, "The first row has no headings.", "Put the columns' names into the first row.")
    return headings


class _Lines:
    """Lines of a file, none longer than MAX_LINE; remembers which one was."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.was_too_long = False
        self.taken = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.taken += 1
        if len(line) <= MAX_LINE:
            return line
        self.was_too_long = True
        rest = line
        while rest and not rest.endswith("\n"):
            rest = self._stream.readline(MAX_LINE)
        return "\n"


def _rows(stream: TextIO, delimiter: str, width: int) -> Iterator[SourceRow]:
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter)
    number, taken = 0, 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield SourceRow(number, [], f"The row cannot be read ({error}).", "Check its quotes.")
            continue
        number += 1
        span, taken = lines.taken - taken, lines.taken
        too_long, lines.was_too_long = lines.was_too_long, False
        if number == 1 or (not too_long and not any(cells)):
            # empty lines before the headings push them down; they are no rows either
            number -= 1 if number == 1 and not any(cells) else 0
            continue
        yield _checked(number, cells, width=width, span=span, too_long=too_long)


def _checked(number: int, cells: list[str], *, width: int, span: int, too_long: bool) -> SourceRow:
    if too_long:
        return SourceRow(
            number, [], "The line is longer than a million characters.", "Look for a missing line break or quote."
        )
    if span > MAX_LINES_IN_CELL:
        return SourceRow(
            number, [], f"A quote opened here spans {span} lines.", "Close the quote; the rows after it were not read."
        )
    if span > 1 and len(cells) < width:
        return SourceRow(number, cells, f"A quote is opened here and not closed in {span} lines.", "Close the quote.")
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    if len(cells) > width:
        return SourceRow(
            number,
            cells,
            f"The row has {len(cells)} cells, the headings are {width}.",
            "Quote cells that hold the delimiter.",
        )
    cells.extend([""] * (width - len(cells)))
    return SourceRow(number, [_unguard(cell) for cell in cells])
