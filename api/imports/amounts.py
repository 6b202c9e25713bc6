"""Reading amounts, a column at a time: the decimal mark that its cells prove, currency signs, negatives in brackets.

A sign says the currency: `$` is no euro. Marks group or divide; `12.500` alone could be either, and is refused unless
other cells of the column, or the import's option, say which.
"""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from api.imports.evidence import Evidence, Verdict, judge
from contracts.money import MINOR_DIGITS

#: A sign -> the currencies that are written so; the first is meant where the organization uses none of them.
_DOLLARS = "USD CAD AUD NZD SGD HKD MXN ARS CLP COP TWD BBD BMD BND BSD BZD FJD GYD JMD KYD LRD NAD SBD SRD TTD XCD"
_SIGNS: Mapping[str, str] = {
    "$": _DOLLARS, "US$": "USD", "U$": "USD", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD",
    "S$": "SGD", "HK$": "HKD", "MX$": "MXN", "NT$": "TWD", "R$": "BRL", "€": "EUR", "£": "GBP", "¥": "JPY CNY",
    "￥": "JPY CNY", "CN¥": "CNY", "RMB": "CNY", "元": "CNY", "円": "JPY", "₽": "RUB", "РУБ.": "RUB", "РУБ": "RUB",
    "Р.": "RUB", "₹": "INR", "₩": "KRW", "₺": "TRY", "TL": "TRY", "₴": "UAH", "₸": "KZT", "₪": "ILS", "₫": "VND",
    "฿": "THB", "₱": "PHP", "₦": "NGN", "₡": "CRC", "₲": "PYG", "₾": "GEL", "₼": "AZN", "ZŁ": "PLN", "KČ": "CZK",
    "FT": "HUF", "FR.": "CHF", "SFR.": "CHF", "ЛВ": "BGN", "ЛВ.": "BGN", "LEI": "RON", "R": "ZAR",
}  # fmt: skip
#: Signs of several currencies of which none comes before the others.
_SHARED: Mapping[str, str] = {
    "KR": "SEK NOK DKK ISK",
    "KR.": "SEK NOK DKK ISK",
    "RS": "INR PKR LKR",
    "RS.": "INR PKR LKR",
}
_CODES = {code: code for code in MINOR_DIGITS}
_MEANT_FIRST = {sign: codes.split()[0] for sign, codes in _SIGNS.items()} | _CODES
#: Signs and codes, in capitals, and the currencies that each can mean.
MEANT = {**_SIGNS, **_SHARED, **_CODES}

_BLANK = "[\\s\u00a0\u202f\u2009]"
_SIGN = r"[^0-9.,'’()+\-−\s\u00a0\u202f\u2009][^0-9,'’()+\-−\s\u00a0\u202f\u2009]{0,5}"
#: Behind the mark, in the place of the cents: 500,- is no debt.
_DASHES = "[-–—]{1,2}"
_FORM = (
    rf"^(?P<open>\()?{_BLANK}*(?P<minus>[-+−])?{_BLANK}*(?P<before>{_SIGN})?{_BLANK}*(?P<inner>[-+−])?{_BLANK}*"
    rf"(?P<number>[.,]?[0-9](?:[0-9.,'’\s\u00a0\u202f\u2009]*[0-9])?(?:[.,](?:{_DASHES})?)?){_BLANK}*"
    rf"(?P<after>{_SIGN})?{_BLANK}*"
    r"(?P<trailing>-)?(?P<close>\))?$"
)
_BLANK_GROUPS = rf"^[0-9]{{1,3}}((?:{_BLANK}[0-9]{{3}})+|(?:['’][0-9]{{3}})+)([.,][0-9]*)?$"
_DOT = r"^([0-9]+|[1-9][0-9]{0,2}(,[0-9]{3})+|[1-9][0-9]?(,[0-9]{2})+,[0-9]{3})?(\.[0-9]*)?$"
_COMMA = r"^([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)?(,[0-9]*)?$"
_EITHER = r"^[1-9][0-9]{0,2}[.,][0-9]{3}$"
#: Where a minus may stand, in one place at a time.
_SIGN_PLACES = ("minus", "inner", "trailing", "open")
#: So many cells with a comma before exactly three digits, and none otherwise, are thousands.
_ENOUGH_GROUPS = 3


def mark_evidence(cell: pl.Expr, row: pl.Expr) -> dict[str, pl.Expr]:
    """What cells show: the first rows that prove a decimal comma, a decimal point, and that could be either."""
    number, has_groups = _number(cell), _has_blank_groups(cell)
    is_either = number.str.contains(_EITHER) & ~has_groups
    as_comma, as_dot = number.str.contains(_COMMA), number.str.contains(_DOT)
    has_mark = number.str.contains("[.,]")
    return {
        "for_yes": row.filter(
            has_mark & as_comma & ~as_dot | has_mark & as_comma & has_groups & _last_is(number, ",")
        ).min(),
        "for_no": row.filter(
            has_mark & as_dot & ~as_comma | has_mark & as_dot & has_groups & _last_is(number, ".")
        ).min(),
        "unclear": row.filter(is_either).min(),
    }


def group_counts(cell: pl.Expr) -> dict[str, pl.Expr]:
    """How many cells have a comma before three digits, and how many speak against commas that group."""
    number = _number(cell)
    return {
        "grouped": number.filter(number.str.contains(r"^[1-9][0-9]{0,2},[0-9]{3}$")).n_unique(),
        "against": (number.str.contains(r"^[0-9]{4,}$|\.")).sum(),
    }


def judge_mark(evidence: Evidence, asked: bool | None, *, grouped: int, against: int) -> Verdict:
    """Whether the comma is the decimal mark of a column."""
    verdict = judge(evidence, asked, yes="1.234,56", no="1,234.56", option="decimal_comma")
    if verdict.choice is None and not verdict.is_mixed and grouped >= _ENOUGH_GROUPS and not against:
        note = f"commas are read as thousands, because {grouped} cells have three digits after one and none has fewer"
        return replace(verdict, choice=False, note=f"{note} (decimal_comma: true says otherwise)")
    return verdict


def amount(cell: pl.Expr, verdict: Verdict) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The amount as digits with a point and perhaps a minus; whether it is none; whether it could be two."""
    number, has_groups = _number(cell), _has_blank_groups(cell)
    has_mark = number.str.contains("[.,]")
    as_comma = verdict.choice is True
    fits = number.str.contains(_COMMA if as_comma else _DOT)
    if verdict.choice is None:
        plain: pl.Expr = pl.when(~has_mark).then(number)
        is_unclear = has_mark & number.str.contains(f"{_COMMA}|{_DOT}")
        fits = ~has_mark
    else:
        group, mark = (".", ",") if as_comma else (",", ".")
        plain = number.str.replace_all(group, "", literal=True).str.replace(mark, ".", literal=True)
        is_unclear = pl.lit(value=False)
    # beside blanks that group, a mark can only divide
    fits &= ~(has_groups & number.str.contains(r"[.,].*[.,]"))
    value = pl.when(fits.fill_null(value=False)).then(pl.when(_is_negative(cell)).then("-" + plain).otherwise(plain))
    is_none = cell.is_not_null() & ~fits.fill_null(value=False) & ~is_unclear.fill_null(value=False)
    return value, is_none, is_unclear


def sign_of(cell: pl.Expr) -> pl.Expr:
    """The currency sign or code that stands beside a number, in capitals; of two the one that says more, or both as one
    that nothing means: the k of $5k is not passed over.
    """
    groups = _groups(cell)
    before, after = (groups.struct.field(name).str.to_uppercase() for name in ("before", "after"))
    return (
        pl.when(before.is_null() | after.is_null() | (before == after))
        .then(pl.coalesce(before, after))
        .when(_is_among(after, meant_by(before)))
        .then(after)
        .when(_is_among(before, meant_by(after)))
        .then(before)
        .otherwise(before + after)
    )


def _is_among(code: pl.Expr, codes: pl.Expr) -> pl.Expr:
    return (" " + codes + " ").str.contains(" " + code + " ", literal=True).fill_null(value=False)


def meant_by(sign: pl.Expr) -> pl.Expr:
    """The codes that a sign can mean, separated by blanks; null for none."""
    return sign.replace_strict(MEANT, default=None, return_dtype=pl.String)


def currency_of(sign: pl.Expr, given: pl.Expr, default: str) -> pl.Expr:
    """The currency of an amount: the one given, or the organization's where the sign can mean it, else the sign's."""
    meant = meant_by(sign)
    first = sign.replace_strict(_MEANT_FIRST, default=None, return_dtype=pl.String)
    return (
        pl.when(given.is_not_null() | sign.is_null())
        .then(given)
        .when(meant.str.contains(default, literal=True))
        .then(pl.lit(default))
        .otherwise(first)
    )


def minor_units(value: str, currency: str) -> pl.Expr:
    """Whole minor units of a read amount, halves away from zero; `currency` is a column of known codes."""
    digits = pl.col(currency).replace_strict(MINOR_DIGITS, default=2, return_dtype=pl.Int64)
    bare = pl.col(value).str.strip_chars_start("-")
    whole = pl.coalesce(
        bare.str.extract(r"^([0-9]{1,13})(?:\.|$)", 1), pl.when(bare.str.starts_with(".")).then(pl.lit("0"))
    )
    fraction = bare.str.extract(r"\.([0-9]*)$", 1).fill_null("").str.pad_end(4, "0")
    kept = pl.when(digits > 0).then(fraction.str.slice(0, digits)).otherwise(pl.lit("0")).cast(pl.Int64)
    rest = fraction.str.slice(digits, 1).cast(pl.Int64)
    size = whole.cast(pl.Int64) * 10**digits + kept + (rest >= 5).cast(pl.Int64)  # half of ten
    return pl.when(pl.col(value).str.starts_with("-")).then(-size).otherwise(size)


def is_huge(value: pl.Expr) -> pl.Expr:
    """Whether an amount has more digits before the point than any minor units have."""
    return value.str.strip_chars_start("-0").str.extract(r"^([0-9]*)", 1).str.len_chars() > 13  # as above


def _groups(cell: pl.Expr) -> pl.Expr:
    return cell.str.extract_groups(_FORM)


def _raw_number(cell: pl.Expr) -> pl.Expr:
    groups = _groups(cell)
    is_balanced = groups.struct.field("open").is_null() == groups.struct.field("close").is_null()
    signs = (groups.struct.field(name).is_not_null().cast(pl.Int8) for name in _SIGN_PLACES)
    number = groups.struct.field("number").str.replace(f"{_DASHES}$", "")
    return pl.when(is_balanced & (pl.sum_horizontal(*signs) <= 1)).then(number)


def _has_blank_groups(cell: pl.Expr) -> pl.Expr:
    return _raw_number(cell).str.contains(_BLANK_GROUPS).fill_null(value=False)


def _number(cell: pl.Expr) -> pl.Expr:
    """Digits, dots and commas of a cell; null where it is no amount at all."""
    raw = _raw_number(cell)
    bare = pl.when(raw.str.contains(_BLANK_GROUPS)).then(raw.str.replace_all(rf"{_BLANK}|['’]", "")).otherwise(raw)
    return pl.when(bare.str.contains("^[0-9.,]*$")).then(bare)


def _is_negative(cell: pl.Expr) -> pl.Expr:
    groups = _groups(cell)
    minus = pl.coalesce(*(groups.struct.field(name) for name in _SIGN_PLACES)).fill_null("")
    return minus.is_in(["-", "−", "("])


def _last_is(number: pl.Expr, mark: str) -> pl.Expr:
    return number.str.extract(r"([.,])[0-9]*$", 1) == mark
