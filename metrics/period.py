"""Days of an organization as instants. The one place where a time zone is turned into a boundary."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """First instant of a local day, in UTC.

    Where the clock skips midnight, the day starts at the first instant that exists; where midnight comes twice, at
    the first one.
    """
    start = datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    if start.astimezone(zone).date() != day or start.astimezone(zone).time() != time():
        return _after_gap(start, day, zone)
    return start


def _after_gap(near: datetime, day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins whose midnight does not exist: found by halving, to the microsecond."""
    before, after = near - timedelta(hours=26), near + timedelta(hours=26)
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            after = middle
    return after


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """The local day in which an instant lies."""
    return instant.astimezone(zone).date()


def shifts(first: datetime, last: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime, timedelta]]:
    """Spans of time from one instant to another (both within), each with what the zone adds to UTC in it."""
    found, start, end = [], first, last + timedelta(microseconds=1)
    while start < end:
        shift = start.astimezone(zone).utcoffset() or timedelta()
        following = _end_of_shift(start, end, zone, shift)
        found.append((start, following, shift))
        start = following
    return found


def _end_of_shift(start: datetime, end: datetime, zone: ZoneInfo, shift: timedelta) -> datetime:
    """The first instant after `start` at which the zone adds something else; it does so for more than a day."""
    before = start
    while (after := min(before + timedelta(days=1), end)).astimezone(zone).utcoffset() == shift:
        if after == end:
            return end
        before = after
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == shift:
            before = middle
        else:
            after = middle
    return after


@dataclass(frozen=True)
class Calendar:
    """How an organization names its days: the ISO weekday on which weeks begin, the month in which fiscal years do."""

    week_start: int = 1
    fiscal_month: int = 1


def pieces(kind: str, start: date, end: date, calendar: Calendar) -> list[tuple[str, date, date]]:
    """Pieces of the calendar that touch the half-open period: (label, first day, first day of the next).

    Labels sort by time: `2026-08`, `2026-08-03` (the first day of a week), `2026-Q3`, `FY2027-Q2`, `FY2027`. A fiscal
    year is called by the calendar year in which it ends.
    """
    found, first = [], _first_day(kind, start, calendar)
    while first < end:
        following = first + timedelta(days=7) if kind == "week" else add_months(first, _MONTHS[kind])
        found.append((_label(kind, first, calendar), first, following))
        first = following
    return found


def add_months(day: date, months: int) -> date:
    """The first of the month that lies `months` after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


_MONTHS = {"month": 1, "quarter": 3, "fiscal_quarter": 3, "fiscal_year": 12}


def _first_day(kind: str, day: date, calendar: Calendar) -> date:
    if kind == "week":
        return day - timedelta(days=(day.isoweekday() - calendar.week_start) % 7)
    begins = calendar.fiscal_month if kind.startswith("fiscal") else 1
    return add_months(day, -((day.month - begins) % _MONTHS[kind]))


def _label(kind: str, first: date, calendar: Calendar) -> str:
    if kind == "week":
        return first.isoformat()
    if kind == "month":
        return first.strftime("%Y-%m")
    if kind == "quarter":
        return f"{first.year}-Q{(first.month + 2) // 3}"
    begins = calendar.fiscal_month
    year = first.year + (1 if begins > 1 and first.month >= begins else 0)
    return f"FY{year}" if kind == "fiscal_year" else f"FY{year}-Q{(first.month - begins) % 12 // 3 + 1}"
