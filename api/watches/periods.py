"""The moving periods that a watched figure may speak of. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum

from metrics.period import Calendar, pieces


class Period(StrEnum):
    """A period that moves with the calendar of the organization."""

    THIS_WEEK = "this_week"
    THIS_MONTH = "this_month"
    THIS_QUARTER = "this_quarter"
    THIS_YEAR = "this_year"
    LAST_7_DAYS = "last_7_days"
    LAST_30_DAYS = "last_30_days"
    LAST_90_DAYS = "last_90_days"


_ROLLING: Mapping[Period, int] = {Period.LAST_7_DAYS: 7, Period.LAST_30_DAYS: 30, Period.LAST_90_DAYS: 90}
_PIECES: Mapping[Period, str] = {
    Period.THIS_WEEK: "week",
    Period.THIS_MONTH: "month",
    Period.THIS_QUARTER: "fiscal_quarter",
    Period.THIS_YEAR: "fiscal_year",
}


def days_of(period: Period, today: date, calendar: Calendar) -> tuple[date, date]:
    """First day of the period that `today` lies in, and the day after its last one; quarters and years are fiscal."""
    tomorrow = today + timedelta(days=1)
    if period in _ROLLING:
        return tomorrow - timedelta(days=_ROLLING[period]), tomorrow
    [(_, first, following)] = pieces(_PIECES[period], today, tomorrow, calendar)
    return first, following
