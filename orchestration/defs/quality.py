"""Slow checks, by the clock and at a full refresh: raw under Great Expectations, reconciliation, equal builds."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from metrics.status import Check, CheckState
from orchestration.defs.raw import RAW_EVENTS_KEY
from orchestration.equality import compare_with_full_refresh
from orchestration.raw_profile import RawCheck, judge_raw
from orchestration.reconciliation import reconcile_all
from orchestration.report import RefreshReport, record_checks
from orchestration.resources import Pipeline


class RawChecksConfig(dg.Config):
    """How far back rows are looked at one by one; completeness of aggregates always goes back to the first event."""

    days: int = 2


@dg.multi_asset_check(
    name="raw_checks",
    specs=[dg.AssetCheckSpec(check.value, asset=RAW_EVENTS_KEY, blocking=True) for check in RawCheck],
)
def raw_checks(config: RawChecksConfig, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[dg.AssetCheckResult]:
    """Judge raw with Great Expectations."""
    findings = judge_raw(pipeline.url, since=datetime.now(UTC) - timedelta(days=config.days))
    _record(pipeline, [(f"raw: {one.check.value}", one.passed, one.message) for one in findings])
    for finding in findings:
        yield dg.AssetCheckResult(
            asset_key=RAW_EVENTS_KEY,
            check_name=finding.check.value,
            passed=finding.passed,
            description=finding.message,
        )


@dg.asset_check(
    name="reconcile",
    asset=dg.AssetKey("published_warehouse"),
    description="PostgreSQL, raw and the published marts agree, event by event and figure by figure.",
)
def reconcile_check(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
    """Compare PostgreSQL with the warehouse, and keep the result."""
    found = reconcile_all(pipeline.event_log_url, pipeline.warehouse)
    # everybody of every organization may read the status: it names none of them
    _record(pipeline, [("reconcile: PostgreSQL and the warehouse", found.is_clean, found.in_plain_words())])
    return dg.AssetCheckResult(passed=found.is_clean, description=str(found))


@dg.asset_check(
    name="incremental_equals_full",
    asset=dg.AssetKey("published_warehouse"),
    description="The marts that increments made are, row for row, those that a full refresh makes.",
)
def equality_check(
    pipeline: dg.ResourceParam[Pipeline],
    turn: dg.ResourceParam[RefreshReport],  # noqa: ARG001  # holds the build lock
) -> dg.AssetCheckResult:
    """Build both ways and compare."""
    comparison = compare_with_full_refresh(pipeline)
    passed = not comparison.differences
    message = "; ".join(f"{mart}: {what}" for mart, what in comparison.differences.items())
    if not comparison.is_settled:
        message = "Not compared: events kept arriving between the two builds."
    _record(pipeline, [("full refresh: equals the increments", passed, message or "Equal in every mart.")])
    return dg.AssetCheckResult(passed=passed, description=message or "Equal in every mart.")


def _record(pipeline: Pipeline, results: Sequence[tuple[str, bool, str]]) -> None:
    now = datetime.now(UTC)
    record_checks(
        pipeline.status,
        [
            Check(
                name=name,
                status=CheckState.OK if passed else CheckState.FAILED,
                message=message,
                finished_at=now,
            )
            for name, passed, message in results
        ],
    )
