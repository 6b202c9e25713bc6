"""PostgreSQL = raw = marts: one comparison, one report, and its result kept for those who read the figures.

The comparison of raw is `ingest.reconcile`, that of the marts `mart_reconciliation`; whoever wants to know, a person, a
schedule or a test, asks here.
"""

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from contracts.settings import WarehouseSettings
from ingest.reconcile import ReconcileReport, reconcile
from orchestration.mart_reconciliation import MartsReport, reconcile_marts

logger = logging.getLogger(__name__)

_LISTED_FIGURES = 10

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


@dataclass(frozen=True)
class Reconciliation:
    """What was compared, and what differs in raw and in the published figures."""

    raw: ReconcileReport
    marts: MartsReport

    @property
    def is_clean(self) -> bool:
        """Whether nothing differed. What was repaired has differed."""
        return self.raw.is_clean and not self.marts.wrong

    def __str__(self) -> str:
        head = (
            f"{self.marts.figures:,} published figures compared, {len(self.marts.wrong):,} wrong"
            if self.marts.note is None
            else f"published figures not compared: {self.marts.note}"
        )
        lines = [
            f"  {one.organization_id} {one.figure}: {one.expected:,} in PostgreSQL, {one.found:,} published"
            for one in self.marts.wrong[:_LISTED_FIGURES]
        ]
        if len(self.marts.wrong) > len(lines):
            lines.append(f"  and {len(self.marts.wrong) - len(lines)} more figures (--json names all of them)")
        return "\n".join([str(self.raw), head, *lines])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can carry it."""
        wrong = [{**asdict(one), "organization_id": str(one.organization_id)} for one in self.marts.wrong]
        marts = {**asdict(self.marts), "wrong": wrong}
        return {
            **self.raw.as_dict(),
            "is_raw_clean": self.raw.is_clean,
            "marts": marts,
            "is_clean": self.is_clean,
        }

    def in_plain_words(self) -> str:
        """For people of every organization: names and counts of none."""
        if self.is_clean:
            return "Every event is in the warehouse once, and the published figures are those of the events."
        found = [
            text
            for text, is_so in (
                ("the warehouse's events are not those of PostgreSQL", not self.raw.is_clean),
                ("published figures are not those of the events", bool(self.marts.wrong)),
            )
            if is_so
        ]
        mended = " It was repaired; the figures follow with the next update." if self.raw.repaired else ""
        return f"{' and '.join(found).capitalize()}.{mended}"


def reconcile_all(event_log_url: str, warehouse: WarehouseSettings, *, repair: bool = False) -> Reconciliation:
    """Compare the event log with raw and with the published marts, and keep the result; `repair` puts raw right.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        duckdb.Error: the published version cannot be read.
        RewriteUnderWayError: a rebuild or another comparison is at work.
        SinkUnavailableError: the warehouse cannot be read, or not be written.
    """
    started_at = datetime.now(UTC)
    raw = reconcile(event_log_url, warehouse, repair=repair)
    found = Reconciliation(raw, reconcile_marts(event_log_url, warehouse))
    keep_result(event_log_url, found, checked_at=started_at)
    if not found.is_clean:
        logger.error("PostgreSQL, raw and the marts do not agree: %s", found)
    return found


def keep_result(event_log_url: str, found: Reconciliation, *, checked_at: datetime) -> None:
    """Put what was found of each organization in the place of the last result: the data-health page shows it.

    Raises:
        psycopg.Error: PostgreSQL cannot be written.
    """
    wrong = Counter(figure.organization_id for figure in found.marts.wrong)
    rows = [
        {
            **asdict(counts),
            "organization_id": organization_id,
            "checked_at": checked_at,
            "wrong_figures": wrong[organization_id] if found.marts.note is None else None,
            "is_repaired": found.raw.repaired and bool(counts.missing or counts.extra or counts.different),
        }
        for organization_id, counts in found.raw.organizations.items()
    ]
    with psycopg.connect(event_log_url) as connection, connection.cursor() as cursor:
        cursor.executemany(_KEEP, rows)
