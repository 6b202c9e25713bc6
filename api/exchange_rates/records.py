"""Statements about exchange rates."""

from collections.abc import Iterable, Sequence
from datetime import date

from sqlalchemy import bindparam, text

from api.db.statements import compiled
from api.exchange_rates.rules import Change, ExchangeRateDay
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.exchange_rate import ExchangeRateDay as DayRow

_HOLD = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('exchange_rates:' || cast(:organization_id as text), 0))")
)
_days = rows_of(ExchangeRateDay, DayRow)
_DAY = compiled(_days.where(DayRow.day == bindparam("day")))
_SPAN = compiled(_days.where(DayRow.day >= bindparam("first_day"), DayRow.day <= bindparam("last_day")))
_BASE = compiled(text("select base from exchange_rate_days where organization_id = :organization_id limit 1"))
#: Days with rates, the newest first.
DAYS = Listing(
    _days,
    filters={"from": DayRow.day >= bindparam("from"), "to": DayRow.day < bindparam("to")},
    order=(DayRow.day, DayRow.id),
    newest_first=True,
)


async def find_day(unit: UnitOfWork, day: date) -> ExchangeRateDay:
    """The rates of a day.

    Raises:
        NotFound: it has none.
    """
    return only(ExchangeRateDay, await unit.fetch(_DAY, day=day), "exchange rate day")


async def hold_days(unit: UnitOfWork, days: Sequence[date]) -> tuple[dict[date, ExchangeRateDay], str | None]:
    """The rates between the first and the last of some days in order, and the base of all rates.

    Nobody else changes any until the transaction ends.
    """
    _, found, bases = await unit.fetch_all(_HOLD.bind(), _SPAN.bind(first_day=days[0], last_day=days[-1]), _BASE.bind())
    known = {state.day: state for state in as_states(ExchangeRateDay, found)}
    return known, next((row.base for row in bases), None)


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what was decided."""
    write_changes(unit, changes, {ExchangeRateDay: DayRow})
