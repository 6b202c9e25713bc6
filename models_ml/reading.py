"""A CSV file of anybody's as columns of text: encoding, delimiter and heading found out, uneven lines named.

What the texts mean is for `columns`.
"""

import csv
import io
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


def read_csv(path: Path) -> pl.DataFrame:
    """The file's columns as text, in its order; an empty heading becomes `column N`, a repeated one `name (2)`."""
    text = _decode(path)
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(path, text))
    try:
        heading = next(lines)
        rows = [_even(path, row, len(heading), lines.line_num) for row in lines if any(row)]
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
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise ScoringError(f"{path} is a folder; name one CSV file.") from error
    except FileNotFoundError as error:
        raise ScoringError(f"There is no file {path}.") from error
    if not content.strip():
        raise ScoringError(f"{path.name} is empty.")
    if content.startswith(b"PK\x03\x04"):
        raise ScoringError(f"{path.name} is a spreadsheet or an archive; save the table as CSV first.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise ScoringError(f"{path.name} is not text; save the table as CSV first.")
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ScoringError(f"{path.name} is in an encoding that cannot be read; save it as UTF-8.")


def _delimiter(path: Path, text: str) -> str:
    """The character that cuts the first lines into equally many parts, the most of them."""

    def parts(delimiter: str) -> tuple[int, int]:
        sample = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _SNIFFED_LINES))
        return sum(len(row) == len(sample[0]) for row in sample), len(sample[0])

    found = {delimiter: parts(delimiter) for delimiter in _DELIMITERS}
    several = {delimiter: found[delimiter] for delimiter in _DELIMITERS if found[delimiter][1] > 1}
    if not several:
        raise ScoringError(f"{path.name} has a single column; a score needs the outcome and something known before it.")
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
