"""Reading cells, a whole column at a time: text to instants, days, amounts, codes, each with what is wrong with it.

A reading gives two columns: the value (null where the cell is empty or unreadable) and, where it is unreadable, the
number of the reason. Naive instants are in the organization's time zone; a day alone is the start of that day there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from api.imports.currencies import MINOR_DIGITS
from api.imports.presets import Column, ValueKind
from contracts.access import Role
from contracts.stages import StageKind

_LARGEST_COUNT = 2**31 - 1
#: Digits before the decimal mark that still fit, as minor units, into what other programs read exactly.
_LARGEST_DIGITS = 12
_CLOCK_TOLERANCE = timedelta(minutes=2)
_EMAIL = r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+$"


@dataclass(frozen=True)
class ReadingRules:
    """What the reading of cells depends on besides the cells."""

    time_zone: str
    now: datetime
    day_first: bool = False
    decimal_comma: bool = False


@dataclass(frozen=True)
class Reading:
    """A column's values, and (condition, problem, fix) for every way in which a cell can be wrong."""

    value: pl.Expr
    faults: tuple[tuple[pl.Expr, str, str], ...]


def clean(name: str) -> pl.Expr:
    """A column's text without surrounding blanks; empty cells are null."""
    trimmed = pl.col(name).str.strip_chars(" \t\r\n\u00a0\u202f\ufeff")
    return pl.when(trimmed.str.len_bytes() > 0).then(trimmed)


def read(column: Column, rules: ReadingRules) -> Reading:
    """How to read a cleaned column of this kind."""
    cell = pl.col(column.name)
    reading = _READERS[column.kind](cell, column, rules)
    unreadable = (
        (cell.str.contains("\ufffd", literal=True), "The text cannot be decoded.", "Give the file's encoding."),
        (cell.str.contains("\0", literal=True), "The text holds a NUL character.", "Remove it."),
    )
    missing = (
        ((cell.is_null(), f"{column.name} is empty.", f"Give every row a {column.name}."),)
        if column.is_required
        else ()
    )
    return Reading(reading.value, (*missing, *unreadable, *reading.faults))


def _text(cell: pl.Expr, column: Column, _rules: ReadingRules) -> Reading:
    too_long = cell.str.len_chars() > column.max_length
    return Reading(cell, ((too_long, f"The text is longer than {column.max_length} characters.", "Shorten it."),))


def _email(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_lowercase()
    bad = ~value.str.contains(_EMAIL) | (value.str.len_chars() > 254)
    return Reading(value, ((bad, "This is no e-mail address.", "Write it like ada@example.com."),))


def _instant(cell: pl.Expr, _column: Column, rules: ReadingRules) -> Reading:
    moment = _Moment(cell, day_first=rules.day_first)
    naive = moment.naive
    # a wall-clock time that a clock change skipped means the same distance after the change
    local = pl.coalesce(
        naive.dt.replace_time_zone(rules.time_zone, ambiguous="earliest", non_existent="null"),
        naive.dt.offset_by("1h").dt.replace_time_zone(rules.time_zone, ambiguous="earliest", non_existent="null"),
    )
    value = pl.coalesce(moment.zoned, local.dt.convert_time_zone("UTC"))
    bad = cell.is_not_null() & value.is_null()
    order = "day/month/year" if rules.day_first else "month/day/year"
    return Reading(
        value,
        (
            (bad, f"This is no date (numbers with slashes are read as {order}).", "Write it like 2025-04-03 14:30."),
            (value.dt.year().is_between(1970, 2199).not_(), "The year is out of range.", "Check the date."),
            (value > pl.lit(rules.now + _CLOCK_TOLERANCE), "The moment lies in the future.", "Check the date."),
        ),
    )


def _day(cell: pl.Expr, _column: Column, rules: ReadingRules) -> Reading:
    moment = _Moment(cell, day_first=rules.day_first)
    value = pl.coalesce(moment.zoned.dt.convert_time_zone(rules.time_zone).dt.date(), moment.naive.dt.date())
    bad = cell.is_not_null() & value.is_null()
    return Reading(
        value,
        (
            (bad, "This is no date.", "Write it like 2025-04-03, or say that days come first."),
            (value.dt.year().is_between(1970, 2199).not_(), "The year is out of range.", "Check the date."),
        ),
    )


_CLOCK = (
    r"(?:[T ] *(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d{1,9})?)? *(?P<half>AM|PM)?)?"
    r" *(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_YEAR_FIRST = r"^(?P<year>\d{4})[-/.](?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})" + _CLOCK
_YEAR_LAST = r"^(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})[-/.](?P<year>\d{4})" + _CLOCK


class _Moment:
    """Dates in many forms, taken apart by two patterns and put together in one: `zoned` or `naive`, the other null."""

    def __init__(self, cell: pl.Expr, *, day_first: bool) -> None:
        text = cell.str.to_uppercase()
        early, late = text.str.extract_groups(_YEAR_FIRST), text.str.extract_groups(_YEAR_LAST)

        def part(name: str) -> pl.Expr:
            return pl.coalesce(early.struct.field(name), late.struct.field(name))

        one, two = part("one"), part("two")
        # 03.04.2025 is the third of April wherever people write dots
        is_day_first = late.struct.field("year").is_not_null() & (pl.lit(day_first) | (part("mark") == "."))
        month, day = pl.when(is_day_first).then(two).otherwise(one), pl.when(is_day_first).then(one).otherwise(two)
        half, hour = part("half"), part("hour")
        of_twelve = hour.cast(pl.Int32, strict=False) % 12 + pl.when(half == "PM").then(12).otherwise(0)
        clock = pl.when(half.is_null()).then(hour).when(hour.cast(pl.Int32) <= 12).then(of_twelve.cast(pl.String))
        pieces = (
            part("year"),
            pl.lit("-"),
            month.str.zfill(2),
            pl.lit("-"),
            day.str.zfill(2),
            pl.lit("T"),
            pl.when(hour.is_null()).then(pl.lit("00")).otherwise(clock.str.zfill(2)),
            pl.lit(":"),
            part("minute").fill_null("00"),
            pl.lit(":"),
            part("second").fill_null("00"),
            part("fraction").fill_null(""),
        )
        canonical = pl.concat_str(*pieces)
        zone = part("zone").replace({"Z": "+0000", "UTC": "+0000"}).str.replace(":", "", literal=True)
        offset = pl.when(zone.str.len_chars() == len("+02")).then(zone + "00").otherwise(zone)
        self.zoned = (canonical + offset).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us")
        unzoned = pl.when(zone.is_null()).then(canonical)
        self.naive = unzoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")


def _amount(cell: pl.Expr, _column: Column, rules: ReadingRules) -> Reading:
    """Digits and a point; minor units need the currency, so `minor_units` follows once that is known."""
    marks = r"[\s\u00a0\u202f'\u2019$€£¥]"
    compact = cell.str.replace_all(marks, "")
    grouping, decimal = (".", ",") if rules.decimal_comma else (",", ".")
    group, mark = rf"\{grouping}", rf"\{decimal}"
    form = rf"^[+-]?(\d+|\d{{1,3}}({group}\d{{3}})+)({mark}\d*)?$"
    plain = compact.str.replace_all(grouping, "", literal=True).str.replace(decimal, ".", literal=True)
    fits = compact.str.contains(form)
    value = pl.when(fits).then(plain.str.strip_chars_start("+"))
    negative = fits & compact.str.starts_with("-") & compact.str.contains("[1-9]")
    huge = plain.str.replace(r"\..*$", "").str.strip_chars("+-").str.strip_chars_start("0").str.len_chars()
    habit = "1.234,56" if rules.decimal_comma else "1,234.56"
    return Reading(
        value,
        (
            (cell.is_not_null() & ~fits, "This is no amount.", f"Write it like {habit}, or change the decimal mark."),
            (negative, "The amount is negative.", "A deal's amount is zero or more."),
            (fits & (huge > _LARGEST_DIGITS), "The amount is too large.", "Check it."),
        ),
    )


def minor_units(amount: str, currency: str) -> pl.Expr:
    """Whole minor units of a read amount, halves rounded up; `currency` is a column of known codes."""
    digits = pl.col(currency).replace_strict(MINOR_DIGITS, default=2, return_dtype=pl.Int64)
    whole = pl.col(amount).str.extract(r"^-?(\d+)", 1).cast(pl.Int64)
    fraction = pl.col(amount).str.extract(r"\.(\d*)$", 1).fill_null("").str.pad_end(4, "0")
    kept = pl.when(digits > 0).then(fraction.str.slice(0, digits)).otherwise(pl.lit("0")).cast(pl.Int64)
    rest = fraction.str.slice(digits, 1).cast(pl.Int64)
    return whole * 10**digits + kept + (rest >= 5).cast(pl.Int64)


def _currency(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_uppercase()
    bad = ~value.is_in(list(MINOR_DIGITS))
    return Reading(value, ((bad, "This is no currency code.", "Use an ISO 4217 code such as EUR."),))


def _whole(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    text = cell.str.replace_all(r"[\s\u00a0,.'](\d{3})", "$1").str.replace(r"[.,]0+$", "")
    value = pl.when(text.str.contains(r"^\d{1,10}$")).then(text).cast(pl.Int64, strict=False)
    bad = cell.is_not_null() & (value.is_null() | (value > _LARGEST_COUNT))
    return Reading(value, ((bad, "This is no whole number of zero or more.", "Write it like 250."),))


def _country(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_uppercase()
    bad = ~value.str.contains(r"^[A-Z]{2}$")
    return Reading(value, ((bad, "This is no country code.", "Use two letters of ISO 3166-1, such as DE."),))


def _one_of(cell: pl.Expr, allowed: list[str]) -> Reading:
    value = cell.str.to_lowercase()
    bad = ~value.is_in(allowed)
    return Reading(value, ((bad, "This value is not known.", f"Use one of {', '.join(allowed)}."),))


def _stage_kind(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    return _one_of(cell, [kind.value for kind in StageKind])


def _role(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    return _one_of(cell, [role.value for role in Role if role is not Role.OWNER])


_READERS: dict[ValueKind, Callable[[pl.Expr, Column, ReadingRules], Reading]] = {
    ValueKind.TEXT: _text,
    ValueKind.EMAIL: _email,
    ValueKind.INSTANT: _instant,
    ValueKind.DAY: _day,
    ValueKind.AMOUNT: _amount,
    ValueKind.CURRENCY: _currency,
    ValueKind.WHOLE: _whole,
    ValueKind.COUNTRY: _country,
    ValueKind.STAGE_KIND: _stage_kind,
    ValueKind.ROLE: _role,
}
