"""The suites over raw: frames of it, small however much raw holds, and what is expected of them."""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
from deltalake import DeltaTable

from contracts.events.registry import EVENTS
from contracts.warehouse import RAW_EVENTS, RAW_SCHEMA
from metrics.publication import is_duckdb
from orchestration.build.raw_state import raw_path
from orchestration.build.suites import Suite, between, judge_suites, not_null, one_of

_MEMORY_LIMIT = "1GB"  # what does not fit goes to disk

#: Clocks of two machines may be this far apart.
CLOCK_TOLERANCE_SECONDS = 300


class RawCheck(StrEnum):
    """Checks of raw, each a group of expectations."""

    IDS_PRESENT = "ids_present"
    TYPES_KNOWN = "types_known"
    INSTANTS_PLAUSIBLE = "instants_plausible"
    VERSIONS_CONTIGUOUS = "versions_contiguous"


@dataclass(frozen=True)
class RawFinding:
    """Result of one check of raw."""

    check: RawCheck
    passed: bool
    message: str


# Both engines read the same statements, and answer with few rows: whoever judges them needs no memory for all of raw.
# Rows that the checks cannot tell apart are counted; one stands for them.
_EVENTS = """
with events as (
    select
        event_id::text as event_id, organization_id::text as organization_id, type,
        aggregate_id::text as aggregate_id, aggregate_version::text as aggregate_version,
        extract(epoch from occurred_at - recorded_at)::double precision as occurred_ahead,
        extract(epoch from recorded_at - loaded_at)::double precision as recorded_ahead
    from {raw}
    where loaded_at >= {since}
)

select
    type, min(event_id) as event_id, min(organization_id) as organization_id, min(aggregate_id) as aggregate_id,
    min(aggregate_version) as aggregate_version, max(occurred_ahead) as occurred_ahead,
    max(recorded_ahead) as recorded_ahead, count(*) as rows
from events
group by
    type, event_id is null, organization_id is null, aggregate_id is null, aggregate_version is null,
    occurred_ahead > {tolerance}, recorded_ahead > {tolerance}
"""

# aggregates by how many versions they lack between 1 and their newest
_AGGREGATES = """
with versions as (
    select distinct organization_id::text as organization_id, aggregate_type, aggregate_id, aggregate_version
    from {raw}
),

aggregates as (
    select
        organization_id, aggregate_type,
        greatest(max(aggregate_version) - count(*), abs(min(aggregate_version) - 1))::bigint as missing_versions
    from versions
    group by organization_id, aggregate_type, aggregate_id
)

select organization_id, aggregate_type, missing_versions, count(*) as rows
from aggregates
group by organization_id, aggregate_type, missing_versions
"""

_FRAMES: dict[str, tuple[str, pl.Schema]] = {
    "events": (
        _EVENTS,
        pl.Schema(
            {
                **dict.fromkeys(
                    ["type", "event_id", "organization_id", "aggregate_id", "aggregate_version"], pl.String()
                ),
                "occurred_ahead": pl.Float64(),
                "recorded_ahead": pl.Float64(),
                "rows": pl.Int64(),
            }
        ),
    ),
    "aggregates": (
        _AGGREGATES,
        pl.Schema(
            {
                "organization_id": pl.String(),
                "aggregate_type": pl.String(),
                "missing_versions": pl.Int64(),
                "rows": pl.Int64(),
            }
        ),
    ),
}


def judge_raw(warehouse_url: str, *, since: datetime, docs: Path | None = None) -> list[RawFinding]:
    """Judge rows loaded since an instant, and the completeness of all aggregates.

    Raises:
        SuiteError: the suite could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-quality-") as name:
        frames = _profile(warehouse_url, since, spill=Path(name))
    found = judge_suites(_suites(), frames, docs=docs)
    return [RawFinding(RawCheck(one.suite), one.passed, one.message) for one in found]


def _suites() -> list[Suite]:
    ids = ("event_id", "organization_id", "type", "aggregate_id", "aggregate_version")
    ahead = [between(column, most=CLOCK_TOLERANCE_SECONDS) for column in ("occurred_ahead", "recorded_ahead")]
    types = sorted({kind for kind, _version in EVENTS})
    return [
        Suite(RawCheck.IDS_PRESENT, "events", "events", [not_null(column) for column in ids]),
        Suite(RawCheck.TYPES_KNOWN, "events", "events", [one_of("type", types)]),
        Suite(RawCheck.INSTANTS_PLAUSIBLE, "events", "events", ahead),
        Suite(RawCheck.VERSIONS_CONTIGUOUS, "aggregates", "aggregates", [between("missing_versions", most=0)]),
    ]


def _profile(warehouse_url: str, since: datetime, *, spill: Path) -> dict[str, pl.DataFrame]:
    if is_duckdb(warehouse_url):
        found = _ask_duckdb(raw_path(warehouse_url), since, spill)
    else:
        found = _ask_postgres(warehouse_url, since)
    return {
        frame: pl.DataFrame(found.get(frame, []), schema=schema, orient="row", strict=False)
        for frame, (_query, schema) in _FRAMES.items()
    }


def _ask_duckdb(table: Path, since: datetime, spill: Path) -> dict[str, list[tuple[Any, ...]]]:
    files = DeltaTable(str(table)).file_uris() if DeltaTable.is_deltatable(str(table)) else []
    if not files:
        return {}
    with duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": str(spill)}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.read_parquet(files).create_view("raw")
        return {
            frame: connection.execute(
                query.format(raw="raw", since="$since", tolerance=CLOCK_TOLERANCE_SECONDS),
                {"since": since} if "{since}" in query else None,
            ).fetchall()
            for frame, (query, _schema) in _FRAMES.items()
        }


def _ask_postgres(warehouse_url: str, since: datetime) -> dict[str, list[tuple[Any, ...]]]:
    raw = f"{RAW_SCHEMA}.{RAW_EVENTS}"
    with psycopg.connect(warehouse_url) as connection:
        if connection.execute("select to_regclass(%s)", (raw,)).fetchone() == (None,):
            return {}
        return {
            frame: connection.execute(
                query.format(raw=raw, since="%(since)s", tolerance=CLOCK_TOLERANCE_SECONDS).encode(), {"since": since}
            ).fetchall()
            for frame, (query, _schema) in _FRAMES.items()
        }
