"""How figures are written: money, counts, shares, days and instants, the same on every page."""

import re
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from contracts.money import MINOR_DIGITS

#: Written when there is no figure (no deal was won, nothing to divide by): never a zero.
NOTHING = "–"

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "UAH": "₴", "PLN": "zł "}
_UNITS = ((Decimal(1_000_000_000), "B"), (Decimal(1_000_000), "M"), (Decimal(1_000), "k"))
_LEAST_SHORT = 10_000

#: Thousands apart or not, a point before decimals.
_WRITTEN = re.compile(r"[-−]?([0-9]{1,3}([ ,\u00a0][0-9]{3})+|[0-9]{1,16})(\.[0-9]{1,6})?")


def minor_digits(currency: str) -> int:
    """Decimal places of an ISO 4217 currency's minor unit."""
    return MINOR_DIGITS.get(currency, 2)


def major(amount_minor: int, currency: str) -> float:
    """The amount in whole units, for axes and sorting only; never add these up."""
    return float(amount_minor / 10 ** minor_digits(currency))


def amount(amount_minor: int | None, currency: str, *, decimals: bool | None = None) -> str:
    """An amount to the last minor unit: `€1,240.50`, `CHF 75`. A whole one has decimals only if asked for."""
    if amount_minor is None:
        return NOTHING
    digits = minor_digits(currency)
    whole, part = divmod(abs(amount_minor), 10**digits)
    cents = f".{part:0{digits}d}" if digits and (part or decimals) else ""
    return f"{'−' if amount_minor < 0 else ''}{_sign(currency)}{whole:,}{cents}"


def short_amount(amount_minor: int | None, currency: str) -> str:
    """An amount for a headline, rounded to three figures from ten thousand on: `€1.24M`, `€312k`, `€9,870`."""
    if amount_minor is None:
        return NOTHING
    value = Decimal(abs(amount_minor)).scaleb(-minor_digits(currency))
    sign = f"{'−' if amount_minor < 0 else ''}{_sign(currency)}"
    if value < _LEAST_SHORT:
        return f"{sign}{_rounded(value, 0):,}"
    # rounded first, so that what rounds up to a million is written as one
    value = _rounded(value, 2 - value.adjusted())
    unit, letter = next((unit, letter) for unit, letter in _UNITS if value >= unit)
    scaled = value / unit
    return f"{sign}{_rounded(scaled, max(0, 2 - scaled.adjusted())):,}{letter}"


def read(text: str, currency: str) -> int | None:
    """An amount as people write it, in minor units: `1240.5`, `1,240.50`; None where nothing is written.

    Raises:
        ValueError: says how to write it.
    """
    written = text.strip()
    if not written:
        return None
    if not _WRITTEN.fullmatch(written):
        raise ValueError("Write an amount such as 1240.50.")
    value = Decimal(re.sub(r"[ ,\u00a0]", "", written).replace("−", "-")).scaleb(minor_digits(currency))
    if value != value.to_integral_value():
        raise ValueError(f"Amounts in {currency} have {minor_digits(currency)} decimals at most.")
    return int(value)


def count(number: int | None) -> str:
    """A number of deals: `1,240`."""
    return NOTHING if number is None else f"{number:,}"


def share(fraction: float | None) -> str:
    """A share between 0 and 1: `63 %` (62.5 is rounded up); one decimal below 10 %, so that small shares stay apart."""
    if fraction is None:
        return NOTHING
    percent = Decimal(repr(fraction)) * 100
    return f"{_rounded(percent, 1 if 0 < percent < Decimal('9.95') else 0)} %"


def points(difference: float) -> str | None:
    """A change of a share, in percentage points: `+3.1 pts`; None where it rounds to nothing."""
    rounded = _rounded(Decimal(repr(difference)) * 100, 1)
    return f"{rounded:+} pts" if rounded else None


def change(now: float, before: float) -> str | None:
    """By how much a figure is another than before: `+12 %`; None where there was none, or it rounds to nothing."""
    if not before:
        return None
    rounded = _rounded((Decimal(repr(now)) - Decimal(repr(before))) / Decimal(repr(before)) * 100, 0)
    return f"{rounded:+} %" if rounded else None


def _rounded(value: Decimal, digits: int) -> Decimal:
    """Half away from zero, as people and spreadsheets round."""
    return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def days(number: float | None) -> str:
    """A duration in days: `3.5 days`, `12 days`, `under an hour`."""
    if number is None:
        return NOTHING
    if number < 1 / 24:
        return "under an hour"
    if number < 1:
        return f"{number * 24:.0f} h"
    return f"{number:.1f} days" if number < 10 else f"{number:,.0f} days"


def moment(at: datetime | None, zone: ZoneInfo) -> str:
    """An instant on the organization's clock: `23 Nov 2026, 14:03`."""
    return NOTHING if at is None else f"{at.astimezone(zone):%-d %b %Y, %H:%M}"


def instant(text: str | None, zone: ZoneInfo) -> str:
    """The same of an instant as the API writes it."""
    return moment(datetime.fromisoformat(text) if text else None, zone)


def clock(at: datetime | None, now: datetime, zone: ZoneInfo) -> str:
    """An instant to the second, with its day only if that is not today: `14:03:22`."""
    if at is None:
        return NOTHING
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone(zone).date() else f"{local:%-d %b %Y, %H:%M:%S}"


def _sign(currency: str) -> str:
    return _SIGNS.get(currency, f"{currency} ")
