"""Incremental equals full: build both ways from the same raw, and compare every mart row for row.

A mart's fingerprint is its row count and the sum of its rows' hashes, so the order of rows does not matter.
"""

from dataclasses import dataclass

import duckdb
import psycopg

from contracts.warehouse import BUILD_SCHEMA, Mart
from metrics.publication import is_duckdb
from orchestration.dbt_runner import build
from orchestration.publish import build_path
from orchestration.raw_state import read_raw_state
from orchestration.resources import Pipeline

_ATTEMPTS = 3

Fingerprints = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Comparison:
    """Which marts differ, with their row counts; `is_settled` is false where raw never stood still."""

    differences: dict[str, str]
    is_settled: bool = True


def compare_with_full_refresh(pipeline: Pipeline) -> Comparison:
    """Build incrementally, then in full, and compare. The build is the full one afterwards. Needs the build lock.

    Raises:
        DbtError: one of the builds failed.
    """
    for _ in range(_ATTEMPTS):
        before = read_raw_state(pipeline.url)
        build(pipeline.warehouse, target_path=pipeline.dbt_target_path)
        incremental = fingerprints(pipeline.url)
        build(pipeline.warehouse, target_path=pipeline.dbt_target_path, full_refresh=True)
        full = fingerprints(pipeline.url)
        # events that came between the two builds are only in the second one
        if incremental == full or read_raw_state(pipeline.url) == before:
            return Comparison(_differences(incremental, full))
    return Comparison({}, is_settled=False)


def fingerprints(warehouse_url: str) -> Fingerprints:
    """Row count and content hash of every mart of the build."""
    if is_duckdb(warehouse_url):
        with duckdb.connect(str(build_path(warehouse_url))) as connection:
            query = "select count(*), coalesce(sum(hash(m)::hugeint), 0)::varchar from {} m"
            found = [connection.execute(query.format(mart.value)).fetchone() for mart in Mart]
    else:
        with psycopg.connect(warehouse_url) as postgres:
            template = "select count(*), coalesce(sum(hashtextextended(m::text, 0)::numeric), 0)::text from {}.{} m"
            found = [postgres.execute(template.format(BUILD_SCHEMA, mart.value)).fetchone() for mart in Mart]
    return {mart.value: (row[0], row[1]) for mart, row in zip(Mart, found, strict=True) if row}


def _differences(incremental: Fingerprints, full: Fingerprints) -> dict[str, str]:
    return {
        mart: f"{rows:,} rows by increments, {full[mart][0]:,} built anew"
        for mart, (rows, digest) in incremental.items()
        if (rows, digest) != full[mart]
    }
