"""Reading dates and times, a column at a time: what its cells prove of the order of day and month, then each cell.

Where cells prove an order, or the import says one, it holds for the whole column; else a cell that could be two days is
refused. Dots are an order of their own: 03.04.2025 is the third of April wherever people write so. A month that is
written out leaves nothing to prove.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import polars as pl
from babel.dates import get_month_names

from api.imports.evidence import Evidence, Verdict, judge

_CLOCK = (
    r"(?:,?[T ] *(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?P<fraction>\.[0-9]{1,9})?)?"
    r" *(?P<half>AM|PM)?)? *(?P<zone>Z|UTC|GMT|[+-][01][0-9](?::?[0-5][0-9])?)?$"
)
_YEAR_FIRST = r"^(?P<year>[0-9]{4})[-/.](?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<two>[0-9]{1,2})" + _CLOCK
_YEAR_LAST = r"^(?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<two>[0-9]{1,2})[-/.](?P<year>[0-9]{4})" + _CLOCK
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_WEEKDAY = rf"(?:(?P<weekday>{'|'.join(_WEEKDAYS)})(?:S|NES|R|RS|UR)?(?:DAY)?\.?,? +)?"
_NAMED_CLOCK = r"(?:,? AT)?" + _CLOCK
_MONTH_NAMED = (
    rf"^{_WEEKDAY}(?P<month>\p{{L}}{{3,10}})\.?[-/ ]+(?P<day>[0-9]{{1,2}})(?:ST|ND|RD|TH)?,?[-/ ]+(?P<year>[0-9]{{4}})"
    + _NAMED_CLOCK
)
_DAY_NAMED = (
    rf"^{_WEEKDAY}(?P<day>[0-9]{{1,2}})(?:ST|ND|RD|TH|ER|º|\.)?[-/ ]*(?:DE |OF )?(?P<month>\p{{L}}{{3,10}})\.?"
    r"(?:,? DE |,?[-/ ]+)(?P<year>[0-9]{4})(?: Г\.?)?" + _NAMED_CLOCK
)
#: In no two of these languages a word names different months.
_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "ru")
_MONTHS = 12


@cache
def _month_words() -> dict[str, str]:
    """Names of months, in capitals, and their numbers."""
    widths: tuple[Literal["wide", "abbreviated"], ...] = ("wide", "abbreviated")
    contexts: tuple[Literal["format", "stand-alone"], ...] = ("format", "stand-alone")
    words = {
        name.upper().rstrip("."): f"{number:02}"
        for language in _LANGUAGES
        for width in widths
        for context in contexts
        for number, name in get_month_names(width, context, language).items()
    }
    return words | {"SEPT": "09", "MÄR": "03"}


def order_evidence(cell: pl.Expr, row: pl.Expr) -> dict[str, pl.Expr]:
    """What cells show: the first rows that prove a day first, a month first, and that could be either."""
    late = cell.str.to_uppercase().str.extract_groups(_YEAR_LAST)
    one, two = late.struct.field("one").cast(pl.Int32), late.struct.field("two").cast(pl.Int32)
    is_day, is_month = (one > _MONTHS) & (two <= _MONTHS), (two > _MONTHS) & (one <= _MONTHS)
    either = (one <= _MONTHS) & (two <= _MONTHS) & (one != two)
    return {
        "for_yes": row.filter(is_day).min(),
        "for_no": row.filter(is_month).min(),
        "unclear": row.filter(either & (late.struct.field("mark") != ".")).min(),
    }


def judge_order(evidence: Evidence, asked: bool | None) -> Verdict:  # as the option has it
    """Whether days come first in a column."""
    return judge(evidence, asked, yes="day/month/year", no="month/day/year", option="day_first")


@dataclass(frozen=True)
class Moment:
    """Dates of many forms put together in one: `zoned` or `naive`, the other null. `unclear` ones could be two days,
    those that are `is_contradicted` name a weekday that the day is not.
    """

    zoned: pl.Expr
    naive: pl.Expr
    unclear: pl.Expr
    is_contradicted: pl.Expr


def moment(cell: pl.Expr, verdict: Verdict) -> Moment:
    """How to read cells of a column."""
    text = cell.str.to_uppercase()
    early, late = text.str.extract_groups(_YEAR_FIRST), text.str.extract_groups(_YEAR_LAST)
    named = [text.str.extract_groups(form) for form in (_MONTH_NAMED, _DAY_NAMED)]

    def part(name: str) -> pl.Expr:
        return pl.coalesce(*(form.struct.field(name) for form in (early, late)), *_of_named(named, name))

    one, two = part("one"), part("two")
    is_late, has_dots = late.struct.field("year").is_not_null(), part("mark") == "."
    # a cell that can be only one day is that day, whatever the others are
    first_is_day = is_late & (one.cast(pl.Int32) > _MONTHS)
    first_is_month = is_late & (two.cast(pl.Int32) > _MONTHS)
    is_day_first = is_late & ~first_is_month & (first_is_day | has_dots | pl.lit(verdict.choice is True))
    either = is_late & ~first_is_day & ~first_is_month & (one.cast(pl.Int32) != two.cast(pl.Int32))
    is_refused = _refused(verdict, either=either, has_dots=has_dots, first_is_day=first_is_day, is_month=first_is_month)
    month, day = pl.when(is_day_first).then(two).otherwise(one), pl.when(is_day_first).then(one).otherwise(two)
    month, day = pl.coalesce(month, _named_month(named)), pl.coalesce(day, *_of_named(named, "day"))
    canonical = pl.concat_str(
        part("year"), pl.lit("-"), month.str.zfill(2), pl.lit("-"), day.str.zfill(2), pl.lit("T"), _clock(part)
    )
    canonical = pl.when(~is_refused.fill_null(value=False)).then(canonical)
    zone = part("zone").replace({"Z": "+0000", "UTC": "+0000", "GMT": "+0000"}).str.replace(":", "", literal=True)
    offset = pl.when(zone.str.len_chars() == len("+02")).then(zone + "00").otherwise(zone)
    zoned = (canonical + offset).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us")
    unzoned = pl.when(zone.is_null()).then(canonical)
    naive = unzoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    weekday = pl.coalesce(*_of_named(named, "weekday")).replace_strict(
        {name: number for number, name in enumerate(_WEEKDAYS, start=1)}, default=None, return_dtype=pl.Int8
    )
    is_contradicted = canonical.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).dt.weekday() != weekday
    return Moment(zoned, naive, is_refused, is_contradicted)


def _of_named(named: list[pl.Expr], name: str) -> list[pl.Expr]:
    return [] if name in ("one", "two", "mark") else [form.struct.field(name) for form in named]


def _named_month(named: list[pl.Expr]) -> pl.Expr:
    word = pl.coalesce(*(form.struct.field("month") for form in named))
    return word.replace_strict(_month_words(), default=None, return_dtype=pl.String)


def _refused(
    verdict: Verdict, *, either: pl.Expr, has_dots: pl.Expr, first_is_day: pl.Expr, is_month: pl.Expr
) -> pl.Expr:
    """Cells that could be two days, and those that break an order that was asked for."""
    if verdict.choice is None:
        return either & ~has_dots if not verdict.is_mixed else either
    against = is_month if verdict.choice else first_is_day & ~has_dots
    unclear = either & has_dots if verdict.choice is False and not verdict.is_asked else pl.lit(value=False)
    return against | unclear


def _clock(part: Callable[[str], pl.Expr]) -> pl.Expr:
    half, hour = part("half"), part("hour")
    of_twelve = hour.cast(pl.Int32, strict=False) % 12 + pl.when(half == "PM").then(12).otherwise(0)
    clock = (
        pl.when(half.is_null())
        .then(hour)
        .when(hour.cast(pl.Int32, strict=False).is_between(1, 12))
        .then(of_twelve.cast(pl.String))
    )
    return pl.concat_str(
        pl.when(hour.is_null()).then(pl.lit("00")).otherwise(clock.str.zfill(2)),
        pl.lit(":"),
        part("minute").fill_null("00"),
        pl.lit(":"),
        part("second").fill_null("00"),
        part("fraction").fill_null(""),
    )
