"""Looks at a recovered database before anybody relies on it, and says what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from api.db.migrate import revisions
from runtime.backup.programs import BackupError

_GAPS = """
select count(*) from (
    select 1 from event_log group by organization_id, aggregate_id
    having count(*) <> max(aggregate_version) or min(aggregate_version) <> 1
) incomplete
"""

_COUNTED = ("organizations", "users", "contacts", "companies", "deals", "event_log")


@dataclass(frozen=True)
class Contents:
    """What a recovered database holds. `last_event_at`: when its newest event was recorded."""

    migrations_head: str
    is_newest_schema: bool
    counts: Mapping[str, int]
    last_event_at: datetime | None

    def __str__(self) -> str:
        rows = ", ".join(f"{count:,} {name.replace('event_log', 'events')}" for name, count in self.counts.items())
        at = self.last_event_at
        last = f", the last recorded at {at.astimezone(UTC).isoformat(timespec='milliseconds')}" if at else ""
        return f"{rows}{last}; schema {self.migrations_head}"


def check_contents(url: str) -> Contents:
    """Read the database as its superuser.

    Raises:
        BackupError: it is not whole, or newer than this release.
    """
    with psycopg.connect(url) as connection:
        head = _migrations_head(connection)
        incomplete = _number(connection, _GAPS)
        if incomplete:
            raise BackupError(f"The event log is not continuous: {incomplete:,} histories lack events.")
        counts = {table: _number(connection, f"select count(*) from {table}") for table in _COUNTED}
        row = connection.execute("select recorded_at from event_log order by position desc limit 1").fetchone()
    return Contents(head, head == revisions()[-1], counts, row[0] if row else None)


def _migrations_head(connection: psycopg.Connection) -> str:
    try:
        row = connection.execute("select version_num from alembic_version").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise BackupError("The backup holds no database of Sluice.") from error
    head = str(row[0]) if row else ""
    if head not in revisions():
        raise BackupError(
            f"The backup's schema {head or '(none)'} is unknown to this release of Sluice. Restore it with the release"
            " that made it, or a newer one."
        )
    return head


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
