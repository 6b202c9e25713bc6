"""Days of an organization as instants. The one place where a time zone is turned into a boundary."""

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


def months(start: date, end: date) -> list[tuple[str, date, date]]:
    """Calendar months that touch the half-open period: (`YYYY-MM`, first day, first day of the next)."""
    found, first = [], start.replace(day=1)
    while first < end:
        following = (first + timedelta(days=32)).replace(day=1)
        found.append((first.strftime("%Y-%m"), first, following))
        first = following
    return found
