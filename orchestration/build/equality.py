"""Incremental equals full: build both ways from the same raw, and compare every mart row for row.

A mart's fingerprint is its row count and the sum of its rows' hashes, so the order of rows does not matter.
"""

from dataclasses import dataclass

from contracts.warehouse import Mart
from metrics.publication import is_duckdb
from orchestration.build.database import open_build
from orchestration.build.parts import build
from orchestration.build.raw_state import read_raw_state
from orchestration.warehouse import Warehouse

_ATTEMPTS = 3

Fingerprints = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Comparison:
    """Which marts differ, with their row counts; `is_settled` is false where raw never stood still."""

    differences: dict[str, str]
    is_settled: bool = True


def compare_with_full_refresh(warehouse: Warehouse) -> Comparison:
    """Build incrementally, then in full, and compare. The build is the full one afterwards. Needs the build lock.

    Raises:
        DbtError: one of the builds failed.
    """
    for _ in range(_ATTEMPTS):
        before = read_raw_state(warehouse.url)
        build(warehouse.settings, target_path=warehouse.dbt_target_path)
        incremental = fingerprints(warehouse.url)
        build(warehouse.settings, target_path=warehouse.dbt_target_path, full_refresh=True)
        full = fingerprints(warehouse.url)
        # events that came between the two builds are only in the second one
        if incremental == full or read_raw_state(warehouse.url) == before:
            return Comparison(_differences(incremental, full))
    return Comparison({}, is_settled=False)


def fingerprints(warehouse_url: str) -> Fingerprints:
    """Row count and content hash of every mart of the build."""
    digest = (
        "sum(hash(m)::hugeint)::varchar"
        if is_duckdb(warehouse_url)
        else "sum(hashtextextended(m::text, 0)::numeric)::text"
    )
    with open_build(warehouse_url) as connection:
        query = f"select count(*), coalesce({digest}, '0') from {{}} as m"
        return {mart.value: tuple(connection.execute(query.format(mart.value)).fetchone()) for mart in Mart}


def _differences(incremental: Fingerprints, full: Fingerprints) -> dict[str, str]:
    return {
        mart: f"{rows:,} rows by increments, {full[mart][0]:,} built anew"
        for mart, (rows, digest) in incremental.items()
        if (rows, digest) != full[mart]
    }
