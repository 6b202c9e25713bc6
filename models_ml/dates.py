"""Dates as people and programs write them, found out per column: which form, in which order, with which zone."""

from typing import Literal

import numpy as np
import polars as pl

_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%d/%b/%Y",
    "%b %d %Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%m-%y",
    "%d-%b-%y",
    "%d %b %y",
    "%y/%m/%d",
    "%y-%m-%d",
)
#: Of these a column has one: which number is the month, or the year, cannot be told from date to date.
_SLASHED = frozenset({"%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d"})
_DASHED = frozenset({"%d-%m-%y", "%y-%m-%d"})
_TIMES = (
    *("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S"),
    *(" %H:%M:%S %z", ":%H:%M:%S %z"),
)
#: How a year with two digits may come last, after the time.
_WHOLE = ("%b %d %H:%M:%S %Y",)
_TRIED = 2_000
#: A column may mix so many forms of dates, each of which reads at least such a share of what the others left.
_MOST_FORMS, _LEAST_SHARE = 6, 0.01
_US: Literal["us"] = "us"
#: No date of a table is older: a year of two digits would be read as one of the first century.
_FIRST_YEAR = 1000
_DECADE_DAYS = 3_653

_WEEKDAY = r"^(?i)(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_LOOKS_LIKE = (
    r"^(?i)(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
    rf"(?:\d{{1,4}}[-/. ]|\d{{1,2}}(?:st|nd|rd|th)\s|{_MONTH}[\s\d]|\d{{4}}-?q[1-4]$|\d{{8}}T\d{{4}})"
)
#: Months that do not begin as in English: German, Dutch, French, Spanish, Italian, Portuguese, Russian.
_OTHER_LANGUAGES = {
    "Jan": "ene|gen|янв",
    "Feb": "fév|fev|фев",
    "Mar": "mär|mrz|maa|мар",
    "Apr": "avr|abr|апр",
    "May": "mai|mag|mei|мая|май",
    "Jun": "juin|giu|июн",
    "Jul": "juil|lug|июл",
    "Aug": "aoû|aou|ago|авг",
    "Sep": "set|сен",
    "Oct": "okt|ott|out|окт",
    "Nov": "ноя",
    "Dec": "déc|dez|dic|дек",
}
_COMPACT = r"^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
#: One spelling for what is meant alike; months and quarters are their first days.
_SPELLINGS = (
    (_WEEKDAY, ""),
    (r"(?i)\s+de\s+", " "),
    *(
        (rf"(?i)([\d\s.]|^)(?:{others})[\p{{L}}]*\.?(\s|$)", f"${{1}}{month}$2")
        for month, others in _OTHER_LANGUAGES.items()
    ),
    (r"^(\d{1,2})(?:st|nd|rd|th)\b|(\s\d{1,2})(?:st|nd|rd|th)\b", "$1$2"),
    (r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?", "$1"),
    (r"^(\d{1,2})\. ([A-Za-z])", "$1 $2"),
    (r"([A-Za-z]{3} \d{1,2}|\d{4}|\b\d{1,2}), ", "$1 "),
    (r"\s+(?:UTC|GMT|Z)$", "Z"),
    (r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d\S*Z)$", "${1}T$2"),
    (r"^(\d{1,2}\D.*|[A-Za-z].*)Z$", "$1 +0000"),
    (r"^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\S*?) ?([+-]\d\d)$", "${1}T$2$3:00"),
    (r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\S*?) ?([+-]\d\d:?\d\d)$", "${1}T$2$3"),
    (rf"{_COMPACT}T(\d\d)(\d\d)(\d\d)?", "$1-$2-${3}T$4:$5:$6"),
    (r"T(\d\d):(\d\d):$", "T$1:$2"),
    (r"^(\d{4})-(\d\d)$", "$1-$2-01"),
    (r"^([A-Za-z]{3}) (\d{4})$", "01 $1 $2"),
    (r"^(\d{4})-?[Qq]1$", "$1-01-01"),
    (r"^(\d{4})-?[Qq]2$", "$1-04-01"),
    (r"^(\d{4})-?[Qq]3$", "$1-07-01"),
    (r"^(\d{4})-?[Qq]4$", "$1-10-01"),
)


def read_dates(texts: pl.Series) -> pl.Series | None:
    """Dates in one form or, as in tables that were put together, in several; None where nothing can be read."""
    if not _sample(texts).str.contains(_LOOKS_LIKE).any():
        return None
    spelled = _spelled(texts)
    found, days = _read_zoned(spelled), list(_DAYS)
    for _ in range(_MOST_FORMS):
        left = spelled.set(found.is_not_null(), None)
        sample = _sample(left)
        count, form = _best(sample, days)
        if count <= _LEAST_SHARE * len(sample):
            break
        found = found.zip_with(found.is_not_null(), _read(left, form))
        for alike in (_SLASHED, _DASHED):
            if any(form.startswith(day) for day in alike):
                days = [day for day in days if form.startswith(day) or day not in alike]
    return None if found.null_count() == len(found) else found


def read_compact(texts: pl.Series) -> pl.Series | None:
    """Dates as eight digits, where the column holds nothing else; None where it does, or where they are all one."""
    known = texts.drop_nulls()
    if known.n_unique() < 2 or not known.str.contains(_COMPACT + "$").all():
        return None
    return _read(texts.str.replace(_COMPACT, "$1-$2-$3"), "%Y-%m-%d")


def _sample(texts: pl.Series) -> pl.Series:
    """Some from everywhere: rows are often in order of time."""
    known = texts.drop_nulls()
    return known.gather_every(max(1, len(known) // _TRIED))


def _spelled(texts: pl.Series) -> pl.Series:
    sample = _sample(texts)
    for pattern, plain in _SPELLINGS:
        if sample.str.contains(pattern).any():
            texts, sample = (some.str.replace_all(pattern, plain) for some in (texts, sample))
    return texts


def _best(sample: pl.Series, days: list[str]) -> tuple[int, str]:
    """The form that reads most of these; of forms that do alike, one that does not scatter them over decades."""

    def worth(form: str) -> tuple[int, int]:
        values = _read(sample, form).drop_nulls()
        if values.is_empty() or "%y" not in form:
            return len(values), 0
        days = values.dt.epoch("d")
        return len(values), -(int(np.ptp(days.to_numpy())) // _DECADE_DAYS)

    forms = [*(day + time for day in days for time in _TIMES), *_WHOLE]
    worths = [worth(form) for form in forms]
    best = max(range(len(forms)), key=worths.__getitem__)
    return worths[best][0], forms[best]


def _read_zoned(texts: pl.Series) -> pl.Series:
    zoned = texts.set(~texts.str.contains(r"(Z|[+-]\d\d:?\d\d)$").fill_null(value=False), None)
    return naive(zoned.str.to_datetime("%+", time_unit=_US, time_zone="UTC", strict=False, ambiguous="null"))


def _read(texts: pl.Series, form: str) -> pl.Series:
    if "%y" in form:  # 1.5.2 is a version
        year = r"^\d\d[-/]" if form.startswith("%y") else r"[-/. ]\d\d(?:[ T:]|$)"
        texts = texts.set(~texts.str.contains(year).fill_null(value=False), None)
    if "%z" in form:
        values = naive(texts.str.to_datetime(form, time_unit=_US, time_zone="UTC", strict=False))
    elif "%H" in form or "%I" in form:
        values = texts.str.to_datetime(form, time_unit=_US, strict=False)
    else:
        values = texts.str.to_date(form, strict=False).cast(pl.Datetime(_US))
    return values.set((values.dt.year() < _FIRST_YEAR).fill_null(value=False), None)


def naive(values: pl.Series) -> pl.Series:
    """Instants as UTC without saying so."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        return values.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime(_US))
    return values.cast(pl.Datetime(_US))
