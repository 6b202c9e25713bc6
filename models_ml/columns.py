"""Columns with a meaning: numbers, categories, instants, free text; found out from texts or taken from a typed frame.

A value that does not fit the rest of its column counts as missing and is counted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from models_ml.dates import naive, read_compact, read_dates

Kind = Literal["number", "category", "instant", "text"]

#: Spellings of "nothing here", in lower case.
MISSING = (
    *("", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "-", "--", "?", ".", "<na>", "(null)"),
    *("inf", "-inf", "+inf", "infinity", "-infinity", "#div/0!", "#num!", "#ref!", "#value!"),
)
#: A column is of a kind when so much of what it holds can be read so.
_MOST = 0.95
#: Seconds or milliseconds since 1970, of the years 2000 to 2033, in a column whose name speaks of a time.
_EPOCH_SECONDS = (946_684_800, 2_000_000_000)
_NAMES_A_TIME = r"(?i)(date|time|stamp|epoch)s?$|(^|[_\s])(at|on|ts)$|^(created|updated|modified|changed)"
_CATEGORY_WORDS = 3
_TEXT_WIDTH = 60
_TEXT_SHARE = 0.5


@dataclass(frozen=True)
class Column:
    """Values of one kind: Float64, String or Datetime, null where nothing is known."""

    name: str
    kind: Kind
    values: pl.Series
    unreadable: int = 0

    def take(self, rows: pl.Series) -> "Column":
        """The same column at these positions."""
        return Column(self.name, self.kind, self.values.gather(rows), self.unreadable)


def columns_of(frame: pl.DataFrame) -> list[Column]:
    """Each column with the kind that its values have."""
    return [_column(frame[name]) for name in frame.columns]


def _column(series: pl.Series) -> Column:
    if series.dtype == pl.String:
        return infer(series)
    if series.dtype.is_numeric():
        return Column(series.name, "number", _finite(series.cast(pl.Float64)))
    if series.dtype.is_temporal():
        return Column(series.name, "instant", naive(series))
    return Column(series.name, "category", series.cast(pl.String))


def infer(series: pl.Series) -> Column:
    """What these texts are, by what most of them can be read as."""
    texts = without_missing(series)
    known = len(texts) - texts.null_count()
    if known == 0:
        return Column(series.name, "category", texts)
    if (compact := read_compact(texts)) is not None:
        return Column(series.name, "instant", compact, compact.null_count() - texts.null_count())
    for read, kind in _READERS:
        values = read(texts)
        if values is not None and len(values) - values.null_count() >= _MOST * known:
            unreadable = values.null_count() - texts.null_count()
            if kind == "number" and (epochs := _epochs(values)) is not None:
                return Column(series.name, "instant", epochs, unreadable)
            return Column(series.name, kind, values, unreadable)
    return Column(series.name, "text" if _is_free(texts, known) else "category", texts)


def without_missing(series: pl.Series) -> pl.Series:
    """Texts without outer spaces, null where they say that nothing is known."""
    texts = series.str.strip_chars()
    return texts.set(texts.str.to_lowercase().is_in(MISSING), None)


def _finite(values: pl.Series) -> pl.Series:
    return values.set(~values.is_finite().fill_null(value=False), None)


def _numbers(texts: pl.Series) -> pl.Series | None:
    if texts.str.contains(r"^0\d+$").any():  # a code: its zeros say something
        return None
    plain = texts.cast(pl.Float64, strict=False)
    if plain.null_count() > texts.null_count():
        bare = texts.str.replace_all(r"[\s$€£%'’]|^[A-Z]{3}|[A-Z]{3}$", "").str.replace("−", "-", literal=True)
        bare = bare.str.replace(r"^\((.+)\)$", "-$1")
        is_grouped = bare.str.contains(r"^-?\d{1,3}(,\d{2,3})*,\d{3}(\.\d+)?$").fill_null(value=False)
        grouped, spelled = bare.set(~is_grouped, None), bare.set(is_grouped, None)
        european = spelled.str.contains(r"^-?(\d{1,3}(\.\d{3})+|\d+),\d+$").fill_null(value=False)
        comma = spelled.set(~european, None).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        without = grouped.str.replace_all(",", "", literal=True)
        for more in (without, comma, spelled.set(european, None)):
            plain = plain.zip_with(plain.is_not_null(), more.cast(pl.Float64, strict=False))
    return _finite(plain)


def _epochs(numbers: pl.Series) -> pl.Series | None:
    """Instants that are counted from 1970, where the column's name says that it holds some."""
    known = numbers.drop_nulls()
    if known.is_empty() or not re.search(_NAMES_A_TIME, numbers.name):
        return None
    for per_second in (1_000, 1):
        low, high = (per_second * edge for edge in _EPOCH_SECONDS)
        if known.min() >= low and known.max() <= high:  # type: ignore[operator]
            return (numbers * (1_000 // per_second)).cast(pl.Int64).cast(pl.Datetime("ms")).cast(pl.Datetime("us"))
    return None


_READERS: tuple[tuple[Callable[[pl.Series], pl.Series | None], Kind], ...] = (
    (_numbers, "number"),
    (read_dates, "instant"),
)


def _is_free(texts: pl.Series, known: int) -> bool:
    """Sentences, hardly any of them twice."""
    if texts.n_unique() < _TEXT_SHARE * known:
        return False
    words = texts.str.count_matches(r"\s").mean() or 0
    width = texts.str.len_chars().mean() or 0
    return float(words) + 1 >= _CATEGORY_WORDS or float(width) > _TEXT_WIDTH  # type: ignore[arg-type]
