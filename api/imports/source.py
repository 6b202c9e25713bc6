"""Reading a delimited file row by row: headings, and rows that break the form.

Memory stays flat: lines are bounded, rows come one at a time. A row that cannot be read is handed out with its problem,
never dropped.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from api.edge.cells import unguard
from api.imports.encodings import Encoding, find_encoding
from api.imports.options import ImportOptions
from api.imports.problems import FileProblem
from api.imports.shape import Recognise, Shape, find_shape

#: Longest line, in characters, that is read as a row.
MAX_LINE = 1_000_000
#: Most lines that one quoted cell may span: beyond it, a quote was opened and never closed.
MAX_LINES_IN_CELL = 1_000

_HEAD = 256 * 1024
_ZIP_MAGIC, _OLD_EXCEL_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
#: Headings that an error file adds; a mended error file is imported without them.
OWN_HEADING_PREFIX = "sluice_"

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
    encoding: Encoding
    shape: Shape
    headings: tuple[str, ...]

    def rows(self) -> Iterator[SourceRow]:
        """All rows after the headings, in order; empty ones are left out."""
        with self.path.open(encoding=self.encoding.name, errors="replace", newline="") as stream:
            yield from _rows(stream, self.shape, len(self.headings))


def open_source(name: str, path: Path, *, options: ImportOptions, recognise: Recognise = lambda _: 0) -> Source:
    """Find out how a file is written. `recognise` says how well a row would do as its headings.

    Raises:
        FileProblem: it is empty, is no text, or has no headings.
    """
    if not path.is_file():
        raise FileProblem(name, "The file is no longer here.", "Import it anew.")
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head.replace(b"\0", b"").strip(b"\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise FileProblem(name, "The file is empty.", "Save it with a row of headings and at least one row of data.")
    if head.startswith((_ZIP_MAGIC, _OLD_EXCEL_MAGIC)):
        raise FileProblem(
            name, "This is an old workbook or an archive, not a text file.", "Save it as .xlsx or as CSV (UTF-8)."
        )
    encoding = find_encoding(name, path, asked=options.encoding)
    with path.open(encoding=encoding.name, errors="replace", newline="") as text:
        shape = find_shape(text.read(_HEAD), asked=options.delimiter, recognise=recognise)
    with path.open(encoding=encoding.name, errors="replace", newline="") as text:
        headings = _headings(name, text, shape)
    return Source(name=name, path=path, encoding=encoding, shape=shape, headings=headings)


def _headings(name: str, stream: TextIO, shape: Shape) -> tuple[str, ...]:
    lines = _Lines(stream, skipped=shape.separator_lines)
    reader = csv.reader(lines, delimiter=shape.delimiter)
    row: Sequence[str] = []
    try:
        for _ in range(len(shape.preamble) + 1):
            row = next(reader, [])
        while not any(cell.strip() for cell in row) and not lines.is_at_end and not lines.was_too_long:
            row = next(reader, [])
    except csv.Error as error:
        raise FileProblem(name, f"The headings cannot be read ({error}).", "Check their quotes.") from error
    if lines.was_too_long:
        raise FileProblem(name, "The first line is longer than a million characters.", "Check what the file is.")
    headings = tuple(cell.strip(" \t\r\n\u00a0\ufeff") for cell in row)
    if not any(headings):
        raise FileProblem(name, "The first row has no headings.", "Put the columns' names into the first row.")
    return headings


class _Lines:
    """Lines of a file, none longer than MAX_LINE, without the marks before the first; remembers which was too long."""

    def __init__(self, stream: TextIO, *, skipped: int) -> None:
        self._stream = stream
        self.was_too_long = False
        self.is_at_end = False
        self.taken = 0
        for _ in range(skipped):
            stream.readline(MAX_LINE)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_LINE + 1)
        if not line:
            self.is_at_end = True
            raise StopIteration
        self.taken += 1
        if len(line) <= MAX_LINE:
            return line.lstrip("\ufeff") if self.taken == 1 else line
        self.was_too_long = True
        rest = line
        while rest and not rest.endswith("\n"):
            rest = self._stream.readline(MAX_LINE)
        return "\n"


def _rows(stream: TextIO, shape: Shape, width: int) -> Iterator[SourceRow]:
    lines = _Lines(stream, skipped=shape.separator_lines)
    reader = csv.reader(lines, delimiter=shape.delimiter)
    above, has_headings = len(shape.preamble), False
    number, taken = 0, 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            taken = lines.taken
            yield SourceRow(number, [], f"The row cannot be read ({error}).", "Check its quotes.")
            continue
        number += 1
        span, taken = lines.taken - taken, lines.taken
        too_long, lines.was_too_long = lines.was_too_long, False
        if number <= above or (not too_long and not any(cell.strip() for cell in cells)):
            continue
        if not has_headings:
            has_headings = True
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
    return SourceRow(number, [unguard(cell) for cell in cells])
