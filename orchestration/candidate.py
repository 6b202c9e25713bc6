"""The candidate: the build as it stands before it is published, and the quick checks that it must pass.

Counts and instants only, in milliseconds. Tests of the models are dbt's; the slow suite is in `expectations`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import psycopg

from contracts.warehouse import BUILD_SCHEMA, Mart
from metrics.publication import is_duckdb
from orchestration.journal import growth_since, has_journals, is_complete_after
from orchestration.publish import Publication, build_path, last_publication

#: Marts whose facts are never taken back (a correction is a further row), and what people call their rows.
GROWING_MARTS = {
    Mart.DIM_STAGES: "states of stages",
    Mart.FCT_STAGE_ENTRIES: "stage entries",
    Mart.FCT_DEAL_VERSIONS: "states of deals",
    Mart.FCT_DEALS: "deals as known",
}

#: How far clocks of two machines may be apart.
_CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Candidate:
    """What the checks need to know of a build."""

    row_counts: Mapping[str, int]
    event_count: int
    through: datetime | None


@dataclass(frozen=True)
class Finding:
    """Result of one check of the candidate. `title` and `message` are for people who know no mart."""

    name: str
    title: str
    mart: Mart
    passed: bool
    message: str


def read_candidate(warehouse_url: str) -> Candidate:
    """Look at the build. The caller holds the build lock."""
    if is_duckdb(warehouse_url):
        with duckdb.connect(str(build_path(warehouse_url))) as connection:
            return _read(lambda query: connection.execute(query).fetchone(), prefix="")
    with psycopg.connect(warehouse_url) as postgres:
        return _read(
            lambda query: postgres.execute(query.encode()).fetchone(),
            prefix=f"{BUILD_SCHEMA}.",
            row_counts=_count_by_journal(postgres, last_publication(warehouse_url)),
        )


def judge(
    candidate: Candidate, previous: Publication | None, *, now: datetime, may_shrink: bool = False
) -> list[Finding]:
    """All checks of a candidate against the version that readers have now."""
    findings = [_no_fewer_rows(candidate, previous, mart, may_shrink=may_shrink) for mart in GROWING_MARTS]
    return [*findings, _no_fewer_events(candidate, previous, may_shrink=may_shrink), _no_future(candidate, now)]


def check_names() -> list[tuple[str, Mart]]:
    """Name and mart of every check that `judge` makes."""
    growing = [("no_fewer_rows", mart) for mart in GROWING_MARTS]
    return [
        *growing,
        ("no_fewer_events", Mart.WAREHOUSE_FRESHNESS),
        ("nothing_from_the_future", Mart.WAREHOUSE_FRESHNESS),
    ]


def _read(
    fetch: Callable[[str], tuple[Any, ...] | None], prefix: str, row_counts: Mapping[str, int] | None = None
) -> Candidate:
    progress = fetch(
        f"select max(through), coalesce(sum(event_count), 0) from {prefix}{Mart.WAREHOUSE_FRESHNESS.value}"
    ) or (None, 0)
    if row_counts is None:
        counts = fetch("select " + ", ".join(f"(select count(*) from {prefix}{mart.value})" for mart in Mart)) or ()
        row_counts = dict(zip((mart.value for mart in Mart), counts, strict=True))
    return Candidate(row_counts=row_counts, event_count=int(progress[1]), through=progress[0])


def _count_by_journal(connection: psycopg.Connection[Any], last: Publication | None) -> Mapping[str, int] | None:
    """Row counts of the build from those of the last publication: PostgreSQL counts by reading all there is."""
    if last is None or not has_journals(connection) or not is_complete_after(connection, last.version):
        return None
    growth = growth_since(connection, last.version)
    return {mart: count + growth[mart] for mart, count in last.row_counts.items()}


def _no_fewer_rows(candidate: Candidate, previous: Publication | None, mart: Mart, *, may_shrink: bool) -> Finding:
    count = candidate.row_counts[mart.value]
    before = previous.row_counts.get(mart.value, 0) if previous else 0
    return Finding(
        name="no_fewer_rows",
        title=f"no {GROWING_MARTS[mart]} lost",
        mart=mart,
        passed=may_shrink or count >= before,
        message=f"{count:,} {GROWING_MARTS[mart]}; the published figures have {before:,}.",
    )


def _no_fewer_events(candidate: Candidate, previous: Publication | None, *, may_shrink: bool) -> Finding:
    before = previous.event_count if previous else 0
    return Finding(
        name="no_fewer_events",
        title="no events lost",
        mart=Mart.WAREHOUSE_FRESHNESS,
        passed=may_shrink or candidate.event_count >= before,
        message=f"{candidate.event_count:,} events; the published figures count {before:,}.",
    )


def _no_future(candidate: Candidate, now: datetime) -> Finding:
    through = candidate.through.astimezone(UTC) if candidate.through else None
    return Finding(
        name="nothing_from_the_future",
        title="nothing from the future",
        mart=Mart.WAREHOUSE_FRESHNESS,
        passed=through is None or through <= now + _CLOCK_TOLERANCE,
        message=f"The newest event was learned at {through:%Y-%m-%d %H:%M:%S} UTC."
        if through
        else "There is no event yet.",
    )
