"""Periods that people name (last quarter, this month) as half-open days. Pure: today is an argument."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

#: Pieces of the calendar by which figures are split, as metrics name them.
PIECES = {
    "month": "Month",
    "week": "Week",
    "quarter": "Quarter",
    "fiscal_quarter": "Fiscal quarter",
    "fiscal_year": "Fiscal year",
}


class PeriodName(StrEnum):
    """The choices of the period control; the values stand in shared links."""

    THIS_MONTH = "this_month"
    LAST_MONTH = "last_month"
    THIS_QUARTER = "this_quarter"
    LAST_QUARTER = "last_quarter"
    THIS_YEAR = "this_year"
    LAST_YEAR = "last_year"
    CUSTOM = "custom"


LABELS: dict[PeriodName, str] = {
    PeriodName.THIS_MONTH: "This month",
    PeriodName.LAST_MONTH: "Last month",
    PeriodName.THIS_QUARTER: "This quarter",
    PeriodName.LAST_QUARTER: "Last quarter",
    PeriodName.THIS_YEAR: "This year",
    PeriodName.LAST_YEAR: "Last year",
    PeriodName.CUSTOM: "Chosen days",
}

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Period:
    """Days from `start` up to but not including `end`."""

    start: date
    end: date

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        if self.start.year == last.year:
            return f"{self.start:%-d %b} – {last:%-d %b %Y}"
        return f"{self.start:%-d %b %Y} – {last:%-d %b %Y}"


def named(name: PeriodName, today: date, *, fiscal_start_month: int = 1) -> Period:
    """The period of that name around today. Quarters and years begin with the organization's fiscal year."""
    which, unit = name.value.split("_")
    months = _MONTHS[unit]
    start = _start_of(today, months, fiscal_start_month)
    if which == "last":
        start = add_months(start, -months)
    return Period(start, add_months(start, months))


def before(period: Period) -> Period:
    """The period of the same length just before: whole months if the period is whole months, else as many days."""
    if period.start.day == 1 and period.end.day == 1:
        months = (period.end.year - period.start.year) * 12 + period.end.month - period.start.month
        return Period(add_months(period.start, -months), period.start)
    return Period(period.start - (period.end - period.start), period.start)


def year_before(period: Period) -> Period:
    """The same days a year before; of a leap day its month's last."""

    def shifted(day: date) -> date:
        month = add_months(day, -12)
        return min(month + timedelta(days=day.day - 1), add_months(month, 1) - timedelta(days=1))

    return Period(shifted(period.start), shifted(period.end))


def month_of(text: str) -> Period:
    """The month that a metric's group names: `2026-08`."""
    start = date.fromisoformat(f"{text[:7]}-01")
    return Period(start, add_months(start, 1))


def add_months(day: date, months: int) -> date:
    """The first of the month that lies `months` after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _start_of(day: date, months: int, fiscal_start_month: int) -> date:
    return add_months(day, -((day.month - fiscal_start_month) % months))
