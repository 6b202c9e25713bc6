"""What the quality suite looks at: frames of raw, small enough for it, and the names of its checks.

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

import polars as pl
import psycopg
from deltalake import DeltaTable

from contracts.events.registry import EVENTS
from contracts.warehouse import RAW_EVENTS, RAW_SCHEMA
from metrics.publication import is_duckdb
from orchestration.raw_state import raw_path

_SUITE_SECONDS = 300


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


_EVENT_COLUMNS = ["event_id", "organization_id", "type", "aggregate_id", "aggregate_version"]
_INSTANTS = ["occurred_at", "recorded_at", "loaded_at"]
_PLACE = ["organization_id", "aggregate_type", "aggregate_id", "aggregate_version"]

_EVENTS_QUERY = (
    f"select {', '.join(f'{name}::text' for name in _EVENT_COLUMNS)}, {', '.join(_INSTANTS)} "
    f"from {RAW_SCHEMA}.{RAW_EVENTS} where loaded_at >= %s"
)
_PLACES_QUERY = f"select distinct {', '.join(f'{name}::text' for name in _PLACE)} from {RAW_SCHEMA}.{RAW_EVENTS}"


def judge_raw(warehouse_url: str, *, since: datetime) -> list[RawFinding]:
    """Judge rows loaded since an instant, and the completeness of all aggregates.

    Raises:
        SuiteError: the suite could not be run.
    """
    events, places = _read_duckdb(warehouse_url, since) if is_duckdb(warehouse_url) else _read(warehouse_url, since)
    with tempfile.TemporaryDirectory(prefix="sluice-quality-") as folder:
        _profile_events(events).write_parquet(Path(folder) / "events.parquet")
        _profile_aggregates(places).write_parquet(Path(folder) / "aggregates.parquet")
        types = sorted({kind for kind, _version in EVENTS})
        (Path(folder) / "types.json").write_text(json.dumps(types), encoding="utf-8")
        return _run_suite(Path(folder))


def _read_duckdb(warehouse_url: str, since: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    path = raw_path(warehouse_url)
    if not DeltaTable.is_deltatable(str(path)):
        return _empty()
    raw = pl.scan_pyarrow_dataset(DeltaTable(str(path)).to_pyarrow_dataset())
    events = raw.filter(pl.col("loaded_at") >= since).select(*_EVENT_COLUMNS, *_INSTANTS)
    return events.collect(), raw.select(_PLACE).unique().collect()


def _read(warehouse_url: str, since: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    with psycopg.connect(warehouse_url) as connection:
        if connection.execute("select to_regclass(%s)", (f"{RAW_SCHEMA}.{RAW_EVENTS}",)).fetchone() == (None,):
            return _empty()
        events = connection.execute(_EVENTS_QUERY, (since,)).fetchall()
        places = connection.execute(_PLACES_QUERY).fetchall()
    no_events, no_places = _empty()
    return (
        pl.DataFrame(events, schema=no_events.schema, orient="row", strict=False),
        pl.DataFrame(places, schema=no_places.schema, orient="row", strict=False),
    )


def _empty() -> tuple[pl.DataFrame, pl.DataFrame]:
    instants = dict.fromkeys(_INSTANTS, pl.Datetime("us", "UTC"))
    return (
        pl.DataFrame(schema={**dict.fromkeys(_EVENT_COLUMNS, pl.String()), **instants}),
        pl.DataFrame(schema=dict.fromkeys(_PLACE, pl.String())),
    )


def _profile_events(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(
        occurred_ahead=(pl.col("occurred_at") - pl.col("recorded_at")).dt.total_seconds(),
        recorded_ahead=(pl.col("recorded_at") - pl.col("loaded_at")).dt.total_seconds(),
    ).drop(_INSTANTS)


def _profile_aggregates(places: pl.DataFrame) -> pl.DataFrame:
    """Per organization and kind: how many aggregates lack a version between 1 and their newest."""
    versions = pl.col("aggregate_version").cast(pl.Int64)
    per_aggregate = places.group_by("organization_id", "aggregate_type", "aggregate_id").agg(
        is_incomplete=(versions.max() != versions.n_unique()) | (versions.min() != 1)
    )
    return per_aggregate.group_by("organization_id", "aggregate_type").agg(
        aggregates=pl.len().cast(pl.Int64), incomplete=pl.col("is_incomplete").sum().cast(pl.Int64)
    )


def _run_suite(folder: Path) -> list[RawFinding]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.expectations", str(folder)],
        capture_output=True,
        text=True,
        timeout=_SUITE_SECONDS,
        check=False,
        cwd=Path(__file__).resolve().parents[1],
    )
    answer = folder / "findings.json"
    if done.returncode != 0 or not answer.exists():
        raise SuiteError(f"The quality suite ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    findings = json.loads(answer.read_text(encoding="utf-8"))
    return [RawFinding(RawCheck(one["check"]), one["passed"], one["message"]) for one in findings]
