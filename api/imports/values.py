"""Reading cells, a whole column at a time: text to instants, days, amounts, codes, each with what is wrong with it.

A reading gives the value (null where the cell is empty or unreadable) and, for every way in which a cell can be wrong,
where it is. Naive instants are in the organization's time zone; a day alone is the start of that day there. What all
cells of a column prove together, dates' order and decimal marks, comes as a verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from api.imports.amounts import amount, is_huge, sign_of
from api.imports.evidence import Verdict
from api.imports.moments import Moment, moment
from api.imports.nothing import is_broken, says_nothing
from api.imports.presets import Column, ValueKind
from api.imports.zones import day_of, to_utc
from contracts.access import Role
from contracts.countries import COUNTRIES, MISTAKEN, advice_on
from contracts.instants import FIRST_YEAR, LAST_YEAR
from contracts.money import MINOR_DIGITS
from contracts.stages import StageKind

_LARGEST_COUNT = 2**31 - 1
_CLOCK_TOLERANCE = timedelta(minutes=2)
#: What the API's own check lets through, of what people have: no blanks, quotes or brackets, one @, a dot behind it.
_ADDRESS = r"[\p{L}0-9._%+'&*/=?^`{|}~!#$-]{1,64}@(?:[\p{L}0-9](?:[\p{L}0-9-]{0,61}[\p{L}0-9])?\.)+[\p{L}0-9-]{2,63}"
_NAME_BEFORE = rf"^[^@<>()]*[<(]\s*(?P<address>{_ADDRESS})\s*[>)]$"
_BLANKS = " \t\r\n\u00a0\u2009\u202f\ufeff\u200b"
#: As spreadsheets show long numbers: several ids are written so.
_ROUNDED = r"^[0-9][.,][0-9]+[eE]\+[0-9]+$"
_BETWEEN_PEOPLE = r"[;|]|\s[/&+]\s"
_PAST_STATUS = r"(?i)\s*\((?:deactivated|inactive|disabled|former|deleted)(?: user)?\)$"


@dataclass(frozen=True)
class ReadingRules:
    """What the reading of cells depends on besides the cells."""

    time_zone: str
    now: datetime
    currency: str = "EUR"
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    def verdict(self, column: Column) -> Verdict:
        """What a column's cells prove together."""
        return self.verdicts.get(column.name, Verdict(None))


@dataclass(frozen=True)
class Reading:
    """A column's values, and (condition, problem, fix) for every way in which a cell can be wrong."""

    value: pl.Expr
    faults: tuple[tuple[pl.Expr, str, str], ...]


def clean(column: Column) -> pl.Expr:
    """A column's text without surrounding blanks; cells that are empty, or say that they are, are null."""
    text = trimmed(column)
    return pl.when(~says_nothing(text, column)).then(text)


def trimmed(column: Column) -> pl.Expr:
    """A column's text without surrounding blanks; empty cells are null. In names, all blanks are one."""
    text = pl.col(column.name).str.strip_chars(_BLANKS)
    if column.is_name or column.kind is ValueKind.USER:
        text = text.str.replace_all("[\u200b\ufeff\u00ad]", "").str.replace_all(r"[\s\u00a0\u2009\u202f]+", " ")
        text = text.str.normalize("NFC")
    return pl.when(text.str.len_bytes() > 0).then(text)


def read(column: Column, rules: ReadingRules) -> Reading:
    """How to read a cleaned column of this kind."""
    cell = pl.col(column.name)
    reading = _READERS[column.kind](cell, column, rules)
    unreadable = (
        (cell.str.contains("\ufffd", literal=True), "The text cannot be decoded.", "Give the file's encoding."),
        (cell.str.contains("\0", literal=True), "The text holds a NUL character.", "Remove it."),
        (is_broken(cell), "A formula failed in this cell, so its value is lost.", "Mend it in the spreadsheet."),
    )
    missing = (
        ((cell.is_null(), f"{column.name} is empty.", f"Give every row a {column.name}."),)
        if column.is_required
        else ()
    )
    return Reading(reading.value, (*missing, *unreadable, *reading.faults))


def _text(cell: pl.Expr, column: Column, _rules: ReadingRules) -> Reading:
    too_long = cell.str.len_chars() > column.max_length
    faults = [(too_long, f"The text is longer than {column.max_length} characters.", "Shorten it.")]
    if column.name.endswith("external_id"):
        faults.append((cell.str.contains(_ROUNDED), "A spreadsheet rounded this id.", "Export the column as text."))
    return Reading(cell, tuple(faults))


def _email(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value, several = _address_in(cell), _has_several(cell)
    bad = cell.is_not_null() & value.is_null() & ~several
    return Reading(
        value,
        (
            (several, "These are several e-mail addresses.", "Leave one of them."),
            (bad, "This is no e-mail address.", "Write it like ada@example.com."),
        ),
    )


def _user(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    """An e-mail address, alone or beside a name, or a name."""
    has_at = cell.str.contains("@", literal=True)
    several = _has_several(cell) | (~has_at & cell.str.contains(_BETWEEN_PEOPLE)).fill_null(value=False)
    name = cell.str.replace(_PAST_STATUS, "")
    value = pl.when(has_at).then(_address_in(cell)).otherwise(name)
    return Reading(
        value,
        (
            (several, "These are several people.", "Leave one of them."),
            (has_at & value.is_null() & ~several, "This is no e-mail address.", "Give an address or a name."),
            (value.str.len_chars() > 200, "The text is longer than 200 characters.", "Shorten it."),
        ),
    )


def _address_in(cell: pl.Expr) -> pl.Expr:
    alone = pl.when(cell.str.contains(f"^{_ADDRESS}$")).then(cell)
    found = pl.coalesce(alone, cell.str.extract_groups(_NAME_BEFORE).struct.field("address")).str.to_lowercase()
    is_one = (found.str.len_chars() <= 254) & ~found.str.contains(r"\.\.|^\.|\.@")  # RFC 5321
    return pl.when(is_one).then(found)


def _has_several(cell: pl.Expr) -> pl.Expr:
    return (cell.str.count_matches("@", literal=True) > 1).fill_null(value=False)


def _instant(cell: pl.Expr, column: Column, rules: ReadingRules) -> Reading:
    read = _instant_to_come(cell, column, rules)
    is_late = read.value > pl.lit(rules.now + _CLOCK_TOLERANCE)
    return Reading(read.value, (*read.faults, (is_late, "The moment lies in the future.", "Check the date.")))


def _instant_to_come(cell: pl.Expr, column: Column, rules: ReadingRules) -> Reading:
    verdict = rules.verdict(column)
    read_as = moment(cell, verdict)
    value = pl.coalesce(read_as.zoned, to_utc(read_as.naive, rules.time_zone))
    return Reading(value, _no_date(cell, value, read_as, verdict))


def _day(cell: pl.Expr, column: Column, rules: ReadingRules) -> Reading:
    verdict = rules.verdict(column)
    read_as = moment(cell, verdict)
    value = pl.coalesce(day_of(read_as.zoned, rules.time_zone), read_as.naive.dt.date())
    return Reading(value, _no_date(cell, value, read_as, verdict))


def _no_date(cell: pl.Expr, value: pl.Expr, read_as: Moment, verdict: Verdict) -> tuple[tuple[pl.Expr, str, str], ...]:
    is_unclear = read_as.unclear.fill_null(value=False)
    return (
        (is_unclear, verdict.problem or "This is no date in the order that the column has.", verdict.fix or _WRITE),
        (cell.is_not_null() & value.is_null() & ~is_unclear, "This is no date.", _WRITE),
        (read_as.is_contradicted, "The date is another day of the week.", "Check the date, or leave the weekday out."),
        (value.dt.year().is_between(FIRST_YEAR, LAST_YEAR).not_(), "The year is out of range.", "Check the date."),
    )


_WRITE = "Write it like 2025-04-03 14:30."


def _amount(cell: pl.Expr, column: Column, rules: ReadingRules) -> Reading:
    """Digits and a point; minor units need the currency, so `amounts.minor_units` follows once that is known."""
    verdict = rules.verdict(column)
    value, is_none, is_unclear = amount(cell, verdict)
    habit = "1.234,56" if verdict.choice else "1,234.56"
    return Reading(
        value,
        (
            (is_none, "This is no amount.", f"Write it like {habit}, or change the decimal mark."),
            (is_unclear, verdict.problem, verdict.fix),
            (is_huge(value), "The amount is too large.", "Check it."),
        ),
    )


def _number(cell: pl.Expr, column: Column, rules: ReadingRules) -> Reading:
    """As of an amount, without a currency; a number of hundredths may say so."""
    bare = cell.str.replace(r"\s*%$", "")
    read = _amount(bare, column, rules)
    is_signed = sign_of(bare).is_not_null()
    signed = (is_signed, "This is no number.", "Write the number alone.")
    return Reading(pl.when(~is_signed).then(read.value), (signed, *read.faults))


def _currency(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_uppercase()
    bad = ~value.is_in(list(MINOR_DIGITS))
    return Reading(value, ((bad, "This is no currency code.", "Use an ISO 4217 code such as EUR."),))


def _whole(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    # what groups thousands stands before exactly three digits; anything else could be a decimal mark
    groups = "|".join(rf"(?:{mark}[0-9]{{3}})+" for mark in (r"[\s\u00a0\u202f]", "['’]", ","))
    is_grouped = cell.str.contains(rf"^[1-9][0-9]{{0,2}}(?:{groups})$")
    plain = pl.when(is_grouped).then(cell.str.replace_all("[^0-9]", "")).otherwise(cell.str.replace(r"\.0+$", ""))
    value = pl.when(plain.str.contains(r"^[0-9]{1,10}$")).then(plain).cast(pl.Int64, strict=False)
    bad = cell.is_not_null() & (value.is_null() | (value > _LARGEST_COUNT))
    return Reading(value, ((bad, "This is no whole number of zero or more.", "Write it like 250."),))


def _country(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_uppercase()
    mistaken = ((value == code, f"{code} is no country code.", advice_on(code)) for code in MISTAKEN)
    bad = ~value.is_in([*COUNTRIES, *MISTAKEN])
    return Reading(value, ((bad, "This is no country code.", advice_on("")), *mistaken))


def _one_of(cell: pl.Expr, allowed: list[str]) -> Reading:
    value = cell.str.to_lowercase()
    bad = ~value.is_in(allowed)
    return Reading(value, ((bad, "This value is not known.", f"Use one of {', '.join(allowed)}."),))


def _stage_kind(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    return _one_of(cell, [kind.value for kind in StageKind])


def _status(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    known = {kind.value: kind.value for kind in StageKind} | {"closed won": "won", "closed lost": "lost"}
    value = cell.str.to_lowercase()
    bad = ~value.is_in(list(known))
    return Reading(
        value.replace_strict(known, default=None, return_dtype=pl.String),
        ((bad, "This is no status of a deal.", "Use open, won or lost."),),
    )


_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "y", "t", "ja", "oui", "да"), True),
    **dict.fromkeys(("0", "false", "no", "n", "f", "nein", "non", "нет"), False),
}


def _flag(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    value = cell.str.to_lowercase()
    bad = ~value.is_in(list(_FLAGS))
    return Reading(
        value.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean),
        ((bad, "This is neither yes nor no.", "Write true or false."),),
    )


def _role(cell: pl.Expr, _column: Column, _rules: ReadingRules) -> Reading:
    return _one_of(cell, [role.value for role in Role if role is not Role.OWNER])


_READERS: dict[ValueKind, Callable[[pl.Expr, Column, ReadingRules], Reading]] = {
    ValueKind.TEXT: _text,
    ValueKind.EMAIL: _email,
    ValueKind.USER: _user,
    ValueKind.INSTANT: _instant,
    ValueKind.DUE: _instant_to_come,
    ValueKind.DAY: _day,
    ValueKind.AMOUNT: _amount,
    ValueKind.NUMBER: _number,
    ValueKind.CURRENCY: _currency,
    ValueKind.WHOLE: _whole,
    ValueKind.COUNTRY: _country,
    ValueKind.STAGE_KIND: _stage_kind,
    ValueKind.STATUS: _status,
    ValueKind.FLAG: _flag,
    ValueKind.ROLE: _role,
}
