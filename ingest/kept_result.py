"""The newest result of a comparison, one row per organization: what the data-health page and `/v1/freshness` show."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import psycopg

# an organization that PostgreSQL does not know (its events are all extra) has nobody to show anything to
_KEEP = """
insert into reconciliations as r (organization_id, checked_at, events, in_flight, missing, extra, different,
                                  wrong_figures, repaired_at)
select %(organization_id)s, %(checked_at)s, %(events)s, %(in_flight)s, %(missing)s, %(extra)s, %(different)s,
       %(wrong_figures)s, case when %(is_repaired)s then clock_timestamp() end
where %(events)s > 0
on conflict (organization_id) do update
set checked_at = excluded.checked_at, events = excluded.events, in_flight = excluded.in_flight,
    missing = excluded.missing, extra = excluded.extra, different = excluded.different,
    wrong_figures = excluded.wrong_figures, repaired_at = coalesce(excluded.repaired_at, r.repaired_at)
"""


@dataclass(frozen=True, kw_only=True)
class OrganizationResult:
    """What a comparison found of one organization. `wrong_figures` None: its figures were not compared."""

    organization_id: UUID
    events: int
    in_flight: int
    missing: int
    extra: int
    different: int
    wrong_figures: int | None
    is_repaired: bool


def keep_results(relay_database_url: str, results: Sequence[OrganizationResult], *, checked_at: datetime) -> None:
    """Put the results in the place of older ones.

    Raises:
        psycopg.Error: PostgreSQL cannot be written.
    """
    with psycopg.connect(relay_database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(_KEEP, [{**asdict(one), "checked_at": checked_at} for one in results])
