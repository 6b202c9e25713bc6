"""What can be started, by a schedule or by a data engineer on Dagster's pages. The refresh loop needs none of it.

A step is thin: the work is a function elsewhere, and what came of it goes to Dagster by the same events as the loop's.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from contracts.warehouse import Speed
from ingest.sinks import open_sink
from metrics.status import Check, CheckState
from orchestration.build.dbt import Project, load_project, read_source_freshness, run_tests
from orchestration.build.equality import compare_with_full_refresh
from orchestration.build.failures import say_what_failed
from orchestration.build.lock import build_lock
from orchestration.build.raw_quality import judge_raw
from orchestration.defs.assets import (
    COMPACTED_EVENTS,
    PUBLISHED,
    RAW_CHECKS,
    RAW_EVENTS,
    Record,
    define_checks,
    evaluation_of,
    expectation_of,
    expectation_specs,
    raw_check_specs,
)
from orchestration.instance import prune_runs
from orchestration.reconciliation import reconcile_all
from orchestration.update import judge_marts, record_checks, update
from orchestration.warehouse import Warehouse


class UpdateConfig(dg.Config):
    """What a person may choose when starting an update."""

    full_refresh: bool = False
    accept_fewer_rows: bool = False


class RawChecksConfig(dg.Config):
    """How far back rows are looked at one by one; completeness of aggregates always goes back to the first event."""

    days: int = 2


class NotPublishedError(RuntimeError):
    """Parts of an update failed, and stay as they were: says which and why."""


@dg.op(description="Bring live and settled parts up to date with raw, test them, and publish what is sound.")
def update_warehouse(
    context: dg.OpExecutionContext, config: UpdateConfig, warehouse: dg.ResourceParam[Warehouse]
) -> None:
    """Update both speeds; a full refresh looks at raw first."""
    if config.full_refresh:
        list(_judge_raw(warehouse, days=RawChecksConfig().days, is_blocking=True))
    record, project = Record(context.instance), _project(warehouse)
    failed: dict[str, str] = {}
    for speed in Speed:
        done = update(
            warehouse,
            speed=speed,
            full_refresh=config.full_refresh,
            may_shrink=config.accept_fewer_rows,
            holder=f"Dagster run {context.run.run_id}",
        )
        record.note(done, project)
        failed |= {str(part): why for part, why in done.failed.items()}
    record.tell()
    if failed:
        raise NotPublishedError("; ".join(f"{part}: {why}" for part, why in failed.items()))


@dg.op(description="Merge the small files of raw, and delete those that nobody reads any more.")
def compact(context: dg.OpExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> None:
    """Compact the raw relation."""
    with closing(open_sink(warehouse.settings)) as sink:
        compaction = sink.compact()
    metadata = vars(compaction) if compaction else {"note": "PostgreSQL tidies up by itself."}
    context.log_event(dg.AssetMaterialization(COMPACTED_EVENTS, metadata=metadata))
    prune_runs(context.instance)


@dg.job(description="What the refresh loop does, once and by hand; accept_fewer_rows where fewer rows are meant.")
def refresh() -> None:
    """Update the warehouse."""
    update_warehouse()


@dg.job(
    config={"ops": {"update_warehouse": {"config": {"full_refresh": True}}}},
    description=(
        "Build all marts anew from raw, and publish them if every check passes. Set accept_fewer_rows where the new "
        "marts are meant to be smaller, for example after a rebuild of raw."
    ),
)
def full_refresh() -> None:
    """Update the warehouse from nothing."""
    update_warehouse()


@dg.job(
    description="Merge the small files of raw, and delete those that nobody reads any more.",
    op_retry_policy=dg.RetryPolicy(max_retries=2, delay=20),  # a loader or a full disk may be in its way
)
def compact_raw() -> None:
    """Compact raw."""
    compact()


def define_quality_checks(project: Project) -> list[dg.AssetChecksDefinition]:
    """Checks that somebody runs: those of raw, the models' tests over all rows, reconciliation, equal builds, age."""

    @dg.multi_asset_check(name="raw_checks", specs=raw_check_specs())
    def raw_checks(config: RawChecksConfig, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[dg.AssetCheckResult]:
        """Judge raw with Great Expectations."""
        yield from _judge_raw(warehouse, days=config.days)

    @dg.multi_asset_check(name="model_checks", specs=define_checks(project), can_subset=True)
    def model_checks(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        """Run the models' tests over all rows; an update looks at those that it computed."""
        wanted = {key.name for key in context.selected_asset_check_keys}
        with _turn(warehouse, context.run.run_id):
            found = run_tests(warehouse.settings, target_path=warehouse.dbt_target_path)
            tests = say_what_failed(warehouse.url, found)
        for node in tests:
            if node.name in wanted:
                shown = evaluation_of(project, node)
                yield dg.AssetCheckResult(
                    asset_key=shown.asset_key,
                    check_name=shown.check_name,
                    passed=shown.passed,
                    severity=shown.severity,
                    description=shown.description,
                )

    @dg.multi_asset_check(name="mart_expectations", specs=expectation_specs(project), can_subset=True)
    def mart_expectations(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the marts with Great Expectations; a part is held, or let go, by what comes of it."""
        found = judge_marts(warehouse, project, turn=_turn(warehouse, context.run.run_id))
        for finding in found or []:
            shown = expectation_of(finding)
            yield dg.AssetCheckResult(
                asset_key=shown.asset_key,
                check_name=shown.check_name,
                passed=shown.passed,
                description=shown.description,
            )

    @dg.asset_check(
        name="reconcile",
        asset=PUBLISHED,
        description="PostgreSQL, raw and the published marts agree, event by event and figure by figure.",
    )
    def reconcile(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
        """Compare PostgreSQL with the warehouse, and keep the result."""
        found = reconcile_all(warehouse.event_log_url, warehouse.settings)
        _record(
            warehouse, [("reconcile: PostgreSQL and the warehouse", found.is_clean, str(found), found.in_plain_words())]
        )
        return dg.AssetCheckResult(passed=found.is_clean, description=str(found))

    @dg.asset_check(
        name="incremental_equals_full",
        asset=PUBLISHED,
        description="The marts that increments made are, row for row, those that a full refresh makes.",
    )
    def equality(context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
        """Build both ways and compare."""
        with _turn(warehouse, context.run.run_id):
            comparison = compare_with_full_refresh(warehouse)
        message = "; ".join(f"{mart}: {what}" for mart, what in comparison.differences.items())
        if not comparison.is_settled:
            message = "Not compared: events kept arriving between the two builds."
        passed, message = not comparison.differences, message or "Equal in every mart."
        holds = "The figures that updates made are those of a build from nothing."
        _record(warehouse, [("full refresh: equals the increments", passed, message, holds)])
        return dg.AssetCheckResult(passed=passed, description=message)

    return [raw_checks, model_checks, mart_expectations, reconcile, equality, raw_is_fresh]


@dg.asset_check(
    name="is_fresh",
    asset=RAW_EVENTS,
    description="Raw is as fresh as dbt's description of it says: somebody writes something each day.",
)
def raw_is_fresh(context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
    """Ask dbt how old the newest row of raw is."""
    with _turn(warehouse, context.run.run_id):
        found = read_source_freshness(warehouse.settings, target_path=warehouse.dbt_target_path)
    message = f"The newest event was loaded at {found.loaded_at:%Y-%m-%d %H:%M} UTC." if found.loaded_at else ""
    status = {"pass": CheckState.OK, "warn": CheckState.WARN}.get(found.status, CheckState.FAILED)
    check = Check(
        name="source: events come each day",
        status=status,
        message=message or "Nothing was loaded yet.",
        finished_at=datetime.now(UTC),
        holds="Somebody writes something each day, and it gets here.",
    )
    record_checks(warehouse.status, [check])
    severity = dg.AssetCheckSeverity.WARN if status is CheckState.WARN else dg.AssetCheckSeverity.ERROR
    passed = status is CheckState.OK
    return dg.AssetCheckResult(passed=passed, severity=severity, description=check.message)


def define_jobs(checks: Sequence[dg.AssetChecksDefinition]) -> list[Any]:
    """All jobs over the given checks."""
    raw_checks, model_checks, mart_expectations, reconcile, equality, freshness = checks

    def checking(name: str, description: str, *run: dg.AssetChecksDefinition) -> Any:  # noqa: ANN401  # Dagster's own
        return dg.define_asset_job(name, selection=dg.AssetSelection.checks(*run), description=description)

    return [
        refresh,
        full_refresh,
        compact_raw,
        checking(
            "quality",
            "Look at raw and marts with Great Expectations, and compare PostgreSQL with the warehouse.",
            raw_checks,
            mart_expectations,
            reconcile,
            freshness,
        ),
        checking("test_models", "Run the models' tests over all rows.", model_checks),
        checking(
            "incremental_equals_full",
            "Build all marts anew and compare them, row for row, with what the increments had made.",
            equality,
        ),
    ]


@dg.schedule(
    job_name="compact_raw",
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compacts raw where small files wait, and each hour to delete what nobody reads any more.",
)
def frequent_compaction(
    context: dg.ScheduleEvaluationContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run where it has something to do: its imports alone cost more than all else in an idle stack."""
    if context.scheduled_execution_time.minute:
        with closing(open_sink(warehouse.settings)) as sink:
            if not sink.has_small_files():
                return dg.SkipReason("No small files wait to be merged.")
    return dg.RunRequest()


def define_schedules() -> list[dg.ScheduleDefinition]:
    """What happens by the clock, in UTC. Refreshing is not among it: that follows the events."""
    return [
        frequent_compaction,
        *(
            dg.ScheduleDefinition(
                name=name, job_name=job, cron_schedule=cron, default_status=dg.DefaultScheduleStatus.RUNNING
            )
            for name, job, cron in (
                ("hourly_quality", "quality", "7 * * * *"),
                ("nightly_equality", "incremental_equals_full", "41 2 * * *"),
            )
        ),
    ]


def _project(warehouse: Warehouse) -> Project:
    return load_project(warehouse.settings, target_path=warehouse.dbt_target_path)


def _turn(warehouse: Warehouse, run_id: str) -> AbstractContextManager[None]:
    """The right to write the build."""
    return build_lock(warehouse.url, holder=f"Dagster run {run_id}", wait_seconds=warehouse.lock_seconds)


def _judge_raw(warehouse: Warehouse, *, days: int, is_blocking: bool = False) -> Iterator[dg.AssetCheckResult]:
    docs = warehouse.quality.raw_docs if warehouse.quality else None
    findings = judge_raw(warehouse.url, since=datetime.now(UTC) - timedelta(days=days), docs=docs)
    _record(
        warehouse,
        [(f"raw: {one.check.value}", one.passed, one.message, RAW_CHECKS[one.check]) for one in findings],
    )
    if is_blocking and (failed := [one for one in findings if not one.passed]):
        raise NotPublishedError("; ".join(f"raw: {one.check.value}: {one.message}" for one in failed))
    for finding in findings:
        yield dg.AssetCheckResult(
            asset_key=RAW_EVENTS, check_name=finding.check.value, passed=finding.passed, description=finding.message
        )


def _record(warehouse: Warehouse, results: Sequence[tuple[str, bool, str, str]]) -> None:
    """Note checks: name, whether it passed, what it found for operators, what it holds for everybody."""
    now = datetime.now(UTC)
    record_checks(
        warehouse.status,
        [
            Check(
                name=name,
                status=CheckState.OK if passed else CheckState.FAILED,
                message=message,
                finished_at=now,
                holds=holds,
            )
            for name, passed, message, holds in results
        ],
    )
