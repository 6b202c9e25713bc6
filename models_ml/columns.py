"""Columns with a meaning: numbers, categories, instants, free text; found out from texts or taken from a typed frame.

A value that does not fit the rest of its column counts as missing and is counted.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

Kind = Literal["number", "category", "instant", "text"]

#: Spellings of "nothing here", in lower case.
MISSING = (
    *("", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "-", "--", "?", ".", "<na>", "(null)"),
    *("inf", "-inf", "+inf", "infinity", "-infinity", "#div/0!", "#num!", "#ref!", "#value!"),
)
#: A column is of a kind when so much of what it holds can be read so.
_MOST = 0.95
_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m/%d/%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
)
#: Of these a column has one: which number is the month cannot be told from date to date.
_SLASHED = frozenset({"%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y"})
_TIMES = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_TRIED = 2_000
#: A column may mix so many forms of dates, each of which reads at least such a share of what the others left.
_MOST_FORMS, _LEAST_SHARE = 6, 0.01
_US: Literal["us"] = "us"
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
        return Column(series.name, "instant", _naive(series))
    return Column(series.name, "category", series.cast(pl.String))


def infer(series: pl.Series) -> Column:
    """What these texts are, by what most of them can be read as."""
    texts = without_missing(series)
    known = len(texts) - texts.null_count()
    if known == 0:
        return Column(series.name, "category", texts)
    for kind, values in (("number", _numbers(texts)), ("instant", _instants(texts))):
        if values is not None and len(values) - values.null_count() >= _MOST * known:
            return Column(series.name, kind, values, values.null_count() - texts.null_count())  # type: ignore[arg-type]
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
        bare = texts.str.replace_all(r"[\s$€£%]|[A-Z]{3}$", "")
        grouped = bare.set(~bare.str.contains(r"^-?\d{1,3}(,\d{3})+(\.\d+)?$").fill_null(value=False), None)
        spelled = bare.set(bare.str.contains(r"^-?\d{1,3}(,\d{3})+(\.\d+)?$").fill_null(value=False), None)
        european = spelled.str.contains(r"^-?(\d{1,3}(\.\d{3})+|\d+),\d+$").fill_null(value=False)
        comma = spelled.set(~european, None).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        without = grouped.str.replace_all(",", "", literal=True)
        for more in (without, comma, spelled.set(european, None)):
            plain = plain.zip_with(plain.is_not_null(), more.cast(pl.Float64, strict=False))
    return _finite(plain)


def _instants(texts: pl.Series) -> pl.Series | None:
    """Dates in one form or, as in tables that were put together, in several; None where nothing can be read."""
    if not texts.str.contains(r"^\d{1,4}[-/. ]|^[A-Za-z]{3} \d").any():
        return None
    found, days = _read_zoned(texts), list(_DAYS)
    for _ in range(_MOST_FORMS):
        left = texts.set(found.is_not_null(), None)
        sample = left.drop_nulls().head(_TRIED)
        readings = (
            (len(sample) - _read(sample, day + time).null_count(), day, time) for day in days for time in _TIMES
        )
        count, day, time = max(readings, key=lambda reading: reading[0])
        if count <= _LEAST_SHARE * len(sample):
            break
        found = found.zip_with(found.is_not_null(), _read(left, day + time))
        if day in _SLASHED:
            days = [one for one in days if one == day or one not in _SLASHED]
    return None if found.null_count() == len(found) else found


def _read_zoned(texts: pl.Series) -> pl.Series:
    zoned = texts.set(~texts.str.contains(r"(Z|[+-]\d\d:?\d\d)$").fill_null(value=False), None)
    return _naive(zoned.str.to_datetime("%+", time_unit=_US, time_zone="UTC", strict=False, ambiguous="null"))


def _read(texts: pl.Series, form: str) -> pl.Series:
    if "%H" in form or "%I" in form:
        return texts.str.to_datetime(form, time_unit=_US, strict=False)
    return texts.str.to_date(form, strict=False).cast(pl.Datetime(_US))


def _naive(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        return values.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime(_US))
    return values.cast(pl.Datetime(_US))


def _is_free(texts: pl.Series, known: int) -> bool:
    """Sentences, hardly any of them twice."""
    if texts.n_unique() < _TEXT_SHARE * known:
        return False
    words = texts.str.count_matches(r"\s").mean() or 0
    width = texts.str.len_chars().mean() or 0
    return float(words) + 1 >= _CATEGORY_WORDS or float(width) > _TEXT_WIDTH  # type: ignore[arg-type]
