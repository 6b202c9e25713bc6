"""Rules of exchange rates. No I/O. All rates of an organization are against one base, so any two can be crossed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.exchange_rates import ExchangeRatesSet


class AnotherBase(Conflict):
    """The organization's rates are against another base."""

    code = "another_base"

    def __init__(self, known: str, given: str) -> None:
        super().__init__(f"Your rates are for one {known}, these are for one {given}. Give them per {known}.")


class BaseHasNoRate(Unprocessable):
    """The base costs one of itself."""

    code, detail, pointer = "base_has_no_rate", "The base has no rate: it costs one of itself.", "/rates"


@dataclass(frozen=True, kw_only=True)
class ExchangeRateDay(Versioned):
    """The rates of one day."""

    day: date
    base: str
    rates: Mapping[str, str]


Change = changes.Change[ExchangeRateDay]

#: Rates as they are stored; None is none any more.
Rates = Mapping[str, str | None]


def put(
    known: Mapping[date, ExchangeRateDay],
    base: str,
    given: Iterable[tuple[date, Rates]],
    *,
    known_base: str | None,
    now: datetime,
) -> list[Change]:
    """Days with these rates added to those that they have; a rate of None goes. Only what differs is a change.

    Raises:
        AnotherBase, BaseHasNoRate: as they say.
    """
    if known_base not in (None, base):
        raise AnotherBase(known_base or "", base)
    found = []
    for day, rates in given:
        if base in rates:
            raise BaseHasNoRate
        before = known.get(day)
        change = _put(before, day, base, rates, now)
        if change is not None:
            found.append(change)
    return found


def _put(before: ExchangeRateDay | None, day: date, base: str, given: Rates, now: datetime) -> Change | None:
    merged = dict(before.rates) if before else {}
    for currency, rate in given.items():
        if rate is None:
            merged.pop(currency, None)
        else:
            merged[currency] = rate
    rates = dict(sorted(merged.items()))
    if rates == (before.rates if before else {}):
        return None
    if before is None:
        after = ExchangeRateDay(id=uuid7(), version=1, created_at=now, updated_at=now, day=day, base=base, rates=rates)
    else:
        after = revised(before, now, rates=rates)
    return changes.Change(before, after, ExchangeRatesSet(day=day, base=base, rates=rates))


def plain(rate: Decimal) -> str:
    """A rate as it is stored: without zeros that say nothing, without an exponent."""
    return f"{rate.normalize():f}"
