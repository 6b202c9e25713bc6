"""The European Central Bank's files of euro reference rates as it publishes them: eurofxref.csv, eurofxref-hist.csv,
and the zip archives of both. A line is a day, a column a currency. Pure.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from api.exchange_rates.rules import Rates, plain
from api.kernel.errors import Unprocessable
from contracts.money import LARGEST_RATE, MINOR_DIGITS, RATE_DIGITS

BASE = "EUR"

#: What an archive may hold: the whole history since 1999 has three million.
_LARGEST_TEXT = 32 * 1024 * 1024
_FIRST_DAY = date(1999, 1, 1)
_DATES = ("%Y-%m-%d", "%d %B %Y")
_NONE = frozenset({"", "N/A"})


class RatesFileUnusable(Unprocessable):
    """The file is none of the ECB's, or a value in it is no rate."""

    code = "rates_file_unusable"


@dataclass(frozen=True)
class RatesFile:
    """A file's days, and the currencies that it has and that are not in use any more."""

    days: list[tuple[date, Rates]]
    left_out: list[str]


def read(file: bytes) -> RatesFile:
    """Read a file, zipped or not.

    Raises:
        RatesFileUnusable: says in which line and column what is wrong.
    """
    try:
        lines = list(csv.reader(io.StringIO(_text(file), newline="")))
    except csv.Error as error:
        raise RatesFileUnusable(f"The file is no CSV: {error}.") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if not header or header[0].lower() != "date" or len(header) < 2:
        raise RatesFileUnusable("The first line must be `Date`, then one currency per column, as in eurofxref.csv.")
    currencies = [name for name in header[1:] if name]
    days: dict[date, Rates] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        day = _day(cells[0], number)
        if day in days:
            raise RatesFileUnusable(f"Line {number}: {day} is there twice.")
        days[day] = dict(_rates(header, cells, number))
    if not days:
        raise RatesFileUnusable("The file has no line with rates.")
    return RatesFile(sorted(days.items()), sorted(name for name in currencies if name not in MINOR_DIGITS))


def _text(file: bytes) -> str:
    if file.startswith(b"PK"):
        file = _unzipped(file)
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RatesFileUnusable("The file is no text in UTF-8, nor a zip archive of one.") from error


def _unzipped(file: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                raise RatesFileUnusable("The archive must hold one CSV file.")
            with archive.open(names[0]) as inside:
                text = inside.read(_LARGEST_TEXT + 1)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise RatesFileUnusable("The archive cannot be opened.") from error
    if len(text) > _LARGEST_TEXT:
        raise RatesFileUnusable("The file in the archive is too large to be one of the ECB's.")
    return text


def _day(cell: str, number: int) -> date:
    for form in _DATES:
        try:
            day = datetime.strptime(cell, form).date()  # noqa: DTZ007  # a day has no zone
        except ValueError:
            continue
        if day >= _FIRST_DAY:
            return day
    raise RatesFileUnusable(f"Line {number}, column Date: {cell[:40]!r} is no day such as 2026-05-29.")


def _rates(header: list[str], cells: list[str], number: int) -> Iterator[tuple[str, str]]:
    for currency, cell in zip(header[1:], cells[1:], strict=False):
        if cell in _NONE or currency not in MINOR_DIGITS or currency == BASE:
            continue
        try:
            rate = Decimal(cell)
        except InvalidOperation:
            rate = Decimal(0)
        if not is_rate(rate):
            raise RatesFileUnusable(f"Line {number}, column {currency}: {cell[:40]!r} is no rate.")
        yield currency, plain(rate)


def is_rate(rate: Decimal) -> bool:
    """Whether a number can be a rate: positive, not absurd, and exact in the decimals that are kept."""
    if not rate.is_finite() or not 0 < rate <= LARGEST_RATE:
        return False
    exponent = rate.normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= RATE_DIGITS
