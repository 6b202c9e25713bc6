"""A CSV file of anybody's as columns of text: encoding, delimiter and heading found out, uneven lines named.

What the texts mean is for `columns`.
"""

import csv
import io
import re
import sys
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import polars as pl

from models_ml.errors import ScoringError, UnknownColumnError

_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 20
_SHOWN = 20
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
#: What people take for CSV, by how it begins.
_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or an archive"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet"),
    (b"\x1f\x8b", "compressed"),
    (b"PAR1", "a Parquet file"),
    (b"{", "JSON"),
    (b"[{", "JSON"),
    (b"<", "a web page or XML"),
)
_PROBED = 2_000
_WIDTH = 60


def read_csv(path: Path) -> pl.DataFrame:
    """The file's columns as text, in its order; an empty heading becomes `column N`, a repeated one `name (2)`."""
    named, text = _named_delimiter(_decode(path).lstrip("\ufeff"))
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=named or _delimiter(path, text))
    try:
        heading = next(lines)
        first = next((row for row in lines if any(row)), [])
        if len(first) == len(heading) + 1 and all(first):  # R names its rows, and not the column of the names
            heading = ["", *heading]
        rows = [_even(path, row, len(heading), lines.line_num) for row in (first, *lines) if any(row)]
    except csv.Error as error:
        raise ScoringError(f"{path.name}, line {lines.line_num}: {error}.") from error
    if not rows:
        raise ScoringError(f"{path.name} has a heading but no rows.")
    columns = zip(*rows, strict=True)
    return pl.DataFrame(
        [pl.Series(name, values, pl.String) for name, values in zip(_names(heading), columns, strict=True)]
    )


def find_column(frame: pl.DataFrame, name: str) -> str:
    """The column of this name, also where it is written in other letters or with spaces around it."""
    if name in frame.columns:
        return name
    alike = [column for column in frame.columns if column.strip().lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    near = get_close_matches(name, frame.columns, n=1)
    known = ", ".join(frame.columns[:_SHOWN]) + (", …" if len(frame.columns) > _SHOWN else "")
    raise UnknownColumnError(
        f"There is no column {name!r}" + (f"; did you mean {near[0]!r}?" if near else f". There are: {known}.")
    )


def _decode(path: Path) -> str:
    content = _content(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if (wide := _unmarked_utf16(content)) is not None:
        return content.decode(wide, errors="replace")
    if b"\0" in content:
        raise ScoringError(f"{path.name} is not text; save the table as CSV first.")
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ScoringError(f"{path.name} is in an encoding that cannot be read; save it as UTF-8.")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise ScoringError(f"{path} is a folder; name one CSV file.") from error
    except FileNotFoundError as error:
        raise ScoringError(f"There is no file {path}.") from error
    if not content.strip():
        raise ScoringError(f"{path.name} is empty.")
    for beginning, what in _OTHERS:
        if content[:_PROBED].lstrip().startswith(beginning):
            raise ScoringError(f"{path.name} is {what}; save the table as CSV first.")
    return content


def _unmarked_utf16(content: bytes) -> str | None:
    """Whether every other byte is nought, as where Latin letters are written with two."""
    probe = content[:_PROBED]
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if probe[place::2].count(0) > len(probe) / 2 * 0.8 and not probe[1 - place :: 2].count(0):
            return name
    return None


def _named_delimiter(text: str) -> tuple[str | None, str]:
    """Excel writes `sep=;` into a line before the heading."""
    said = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    return (said[1], text[said.end() :]) if said else (None, text)


def _delimiter(path: Path, text: str) -> str:
    """The character that cuts the first lines into equally many parts, the most of them."""

    def parts(delimiter: str) -> tuple[int, int]:
        sample = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _SNIFFED_LINES))
        return sum(len(row) == len(sample[0]) for row in sample), len(sample[0])

    found = {delimiter: parts(delimiter) for delimiter in _DELIMITERS}
    several = {delimiter: found[delimiter] for delimiter in _DELIMITERS if found[delimiter][1] > 1}
    if not several:
        later = text.splitlines()[1:_SNIFFED_LINES]
        if any(delimiter in line for line in later for delimiter in _DELIMITERS):
            raise ScoringError(
                f"The first line of {path.name} is no heading: {text.splitlines()[0][:_WIDTH]!r}. "
                "Remove the lines above the one that names the columns."
            )
        raise ScoringError(
            f"{path.name} has a single column; a score needs the outcome and something known before it. "
            "Columns are told apart by commas, semicolons, tabs or bars."
        )
    return max(several, key=lambda delimiter: several[delimiter])


def _even(path: Path, row: list[str], width: int, line: int) -> list[str]:
    if len(row) > width and not any(row[width:]):
        return row[:width]
    if len(row) != width:
        raise ScoringError(
            f"{path.name}, line {line}: {len(row)} values, but the heading names {width} columns; "
            "mend or remove the line."
        )
    return row


def _names(heading: list[str]) -> list[str]:
    names: list[str] = []
    for number, given in enumerate(heading, 1):
        name = base = given.strip() or f"column {number}"
        copy = 2
        while name in names:
            name, copy = f"{base} ({copy})", copy + 1
        names.append(name)
    return names
