"""The time zones of organizations as data, so that both engines cut days as the API, imports and metrics do.

Engines bring rules of their own, of other years. Models read `staging.time_zone_offsets` instead: for each zone that an
organization ever had, the intervals in which its clocks are so far from UTC, by the database that Python uses.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

from orchestration.build.database import Connection, open_build

#: Between these, turns of the clocks count; before and after, it is as it was then.
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)
_EVER, _FOR_EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

#: Clocks stay for longer than this, after 1900, wherever they were turned twice within a year.
_STEP = timedelta(days=3)

_TABLE = "staging.time_zone_offsets"

_COLUMNS = (
    "time_zone text not null, starts_at timestamptz not null, ends_at timestamptz not null, "
    "utc_offset interval not null, of_version text not null"
)


@cache
def database_version() -> str:
    """Which time-zone database counts; tables built by another are built anew."""
    return version("tzdata")


def keep_time_zones(warehouse_url: str, *, after: int) -> None:
    """Write the offsets of zones that organizations have by events staged `after` a batch, and the table lacks, or has
    of another database.
    """
    with open_build(warehouse_url) as build:
        build.execute(f"create table if not exists {_TABLE} ({_COLUMNS})")
        for zone in map(ZoneInfo, _missing(build, after)):
            build.execute(f"delete from {_TABLE} where time_zone = '{zone.key}'")
            values = ", ".join(
                f"('{zone.key}', timestamptz '{start.isoformat()}', timestamptz '{end.isoformat()}', "
                f"interval '{int(offset.total_seconds())} seconds', '{database_version()}')"
                for start, end, offset in offsets(zone)
            )
            build.execute(f"insert into {_TABLE} values {values}")


def offsets(zone: ZoneInfo) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """The intervals between two turns of a zone's clocks, and how far from UTC they are meanwhile."""
    start, offset = _EVER, _offset(_FIRST, zone)
    near = _FIRST
    while near < _LAST:
        following = near + _STEP
        if _offset(following, zone) != offset:
            turn = _turn(near, following, zone)
            yield start, turn, offset
            start, offset = turn, _offset(turn, zone)
            following = turn
        near = following
    yield start, _FOR_EVER, offset


def _turn(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second of a new offset, found by halving."""
    old = _offset(before, zone)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _missing(build: Connection, after: int) -> list[str]:
    named = build.execute(
        "select distinct (data ->> 'time_zone') as time_zone from staging.stg_events "
        f"where type in ('organization.created', 'organization.updated') and batch_id > {after} "
        f"except select time_zone from {_TABLE} where of_version = '{database_version()}'"
    ).fetchall()
    return [zone for (zone,) in named if zone]
