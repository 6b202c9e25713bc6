"""How figures are written: money, counts, shares, days and instants, the same on every page."""

from datetime import datetime
from zoneinfo import ZoneInfo

#: Written when there is no figure (no deal was won, nothing to divide by): never a zero.
NOTHING = "–"

_ZERO_DIGITS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF"}
    | {"XPF"}
)
_THREE_DIGITS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "UAH": "₴", "PLN": "zł "}
_STEPS = ((1_000_000_000, "B"), (1_000_000, "M"), (10_000, "k"))


def minor_digits(currency: str) -> int:
    """Decimal places of an ISO 4217 currency's minor unit."""
    if currency in _ZERO_DIGITS:
        return 0
    return 3 if currency in _THREE_DIGITS else 2


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
    value = amount_minor / 10 ** minor_digits(currency)
    for step, letter in _STEPS:
        if abs(value) >= step:
            scaled = abs(value) / (step if letter != "k" else 1_000)
            text = f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}"
            return f"{'−' if value < 0 else ''}{_sign(currency)}{text}{letter}"
    return f"{'−' if value < 0 else ''}{_sign(currency)}{abs(value):,.0f}"


def count(number: int | None) -> str:
    """A number of deals: `1,240`."""
    return NOTHING if number is None else f"{number:,}"


def share(fraction: float | None) -> str:
    """A share between 0 and 1: `62 %`; one decimal below 10 %, so that small shares stay apart."""
    if fraction is None:
        return NOTHING
    percent = fraction * 100
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def points(difference: float) -> str:
    """A change of a share, in percentage points: `+3.1 pts`."""
    return f"{difference * 100:+.1f} pts"


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


def clock(at: datetime | None, now: datetime, zone: ZoneInfo) -> str:
    """An instant to the second, with its day only if that is not today: `14:03:22`."""
    if at is None:
        return NOTHING
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone(zone).date() else f"{local:%-d %b %Y, %H:%M:%S}"


def _sign(currency: str) -> str:
    return _SIGNS.get(currency, f"{currency} ")
