"""What the quality suite looks at: frames of raw, small however much raw holds, and the names of its checks.

`expectations` judges the frames in a process of its own, because Great Expectations takes seconds and some 270 MB to
import: neither the refresh loop nor Dagster's code server shall carry that.
"""

import json
import subprocess
import sys
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

_SUITE_SECONDS = 300
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


class SuiteError(RuntimeError):
    """The suite's process ended without an answer: says what it wrote last."""


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


def judge_raw(warehouse_url: str, *, since: datetime) -> list[RawFinding]:
    """Judge rows loaded since an instant, and the completeness of all aggregates.

    Raises:
        SuiteError: the suite could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-quality-") as name:
        folder = Path(name)
        for frame, rows in _profile(warehouse_url, since, spill=folder / "spill").items():
            rows.write_parquet(folder / f"{frame}.parquet")
        types = sorted({kind for kind, _version in EVENTS})
        (folder / "types.json").write_text(json.dumps(types), encoding="utf-8")
        return _run_suite(folder)


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


def _run_suite(folder: Path) -> list[RawFinding]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.build.expectations", str(folder)],
        capture_output=True,
        text=True,
        timeout=_SUITE_SECONDS,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    answer = folder / "findings.json"
    if done.returncode != 0 or not answer.exists():
        raise SuiteError(f"The quality suite ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    findings = json.loads(answer.read_text(encoding="utf-8"))
    return [RawFinding(RawCheck(one["check"]), one["passed"], one["message"]) for one in findings]
