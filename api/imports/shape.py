"""How a text file is laid out: a line that names the delimiter, the delimiter, lines above the headings."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_DELIMITERS = (",", ";", "\t", "|")
#: How far down headings may stand.
_MOST_PREAMBLE = 40
_LOOKED_AT = 200
_SEPARATOR_LINE = re.compile(r'^\ufeff*"?sep=(?P<mark>[,;|\t:^~]|\\t)"?[,;\t|]*\r?\n?$', re.IGNORECASE)

#: How well a row would do as the headings: 0, it names no column.
Recognise = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Shape:
    """The delimiter; lines before the headings: `sep=` in one, and rows that say something else."""

    delimiter: str
    separator_lines: int = 0
    preamble: tuple[str, ...] = ()


def find_shape(head: str, *, asked: str, recognise: Recognise) -> Shape:
    """How the beginning of a file is laid out."""
    lines = io.StringIO(head, newline="").readlines()
    named = _SEPARATOR_LINE.match(lines[0]) if lines else None
    body = lines[1:] if named else lines
    if asked != "auto":
        delimiter = "\t" if asked == "tab" else asked
    elif named:
        delimiter = named["mark"].replace("\\t", "\t")
    else:
        delimiter = max(_DELIMITERS, key=lambda mark: _fitness(body, mark, recognise))
    return Shape(delimiter, 1 if named else 0, _preamble(read_rows(body[:_LOOKED_AT], delimiter), recognise))


def read_rows(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    """Rows as far as they can be read."""
    rows: list[list[str]] = []
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            return rows
        except csv.Error:
            rows.append([])


def _fitness(lines: Sequence[str], delimiter: str, recognise: Recognise) -> tuple[int, float, int]:
    """Known headings first; then how many rows are as wide as the headings, and how wide that is."""
    rows = [row for row in read_rows(lines[:_LOOKED_AT], delimiter) if len(row) > 1 or (row and row[0].strip())]
    if not rows:
        return 0, 0.0, 0
    known = max(recognise(row) for row in rows[:_MOST_PREAMBLE])
    width, count = Counter(len(row) for row in rows).most_common(1)[0]
    return known, count / len(rows) if width > 1 else 0.0, width


def _preamble(rows: Sequence[Sequence[str]], recognise: Recognise) -> tuple[str, ...]:
    """What stands above the headings: rows before the first one that names the most columns, if that is several."""
    scores = [recognise(row) for row in rows[:_MOST_PREAMBLE]]
    best = max(scores, default=0)
    place = scores.index(best) if best > 1 else 0
    return tuple(" ".join(cell.strip() for cell in row if cell.strip()) for row in rows[:place])
