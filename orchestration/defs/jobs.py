"""What can be started: by the refresh loop, by a schedule, or by a data engineer on Dagster's pages."""

from typing import Any

import dagster as dg

from orchestration.defs.compaction import compacted_events
from orchestration.defs.publishing import published_warehouse
from orchestration.defs.quality import equality_check, raw_checks, reconcile_check
from orchestration.defs.raw import RAW_EVENTS_KEY

REFRESH = "refresh"
FULL_REFRESH = "full_refresh"
QUALITY = "quality"
EQUALITY = "incremental_equals_full"
COMPACTION = "compact_raw"

_MATERIALIZATION = "dagster-dbt/materialization_type"


def define_jobs(models: dg.AssetsDefinition) -> list[Any]:
    """All jobs over the given dbt models."""
    # views are shown in the lineage; they hold no rows and have nothing to report
    stored = [spec.key for spec in models.specs if not str(spec.metadata[_MATERIALIZATION]).endswith("view")]
    publish = dg.AssetSelection.assets(*stored) | dg.AssetSelection.assets(published_warehouse).without_checks()
    return [
        dg.define_asset_job(
            REFRESH,
            selection=publish,
            description="Bring the marts up to date with raw, test them, publish them. The refresh loop does this.",
        ),
        dg.define_asset_job(
            FULL_REFRESH,
            selection=publish | dg.AssetSelection.checks(raw_checks),
            config={"ops": {"dbt_models": {"config": {"full_refresh": True}}}},
            description=(
                "Build all marts anew from raw, and publish them if every check passes. Set accept_fewer_rows where the"
                " new marts are meant to be smaller, for example after a rebuild of raw."
            ),
        ),
        dg.define_asset_job(
            QUALITY,
            selection=dg.AssetSelection.checks(raw_checks, reconcile_check),
            description="Look at raw with Great Expectations, and compare PostgreSQL with the warehouse.",
        ),
        dg.define_asset_job(
            EQUALITY,
            selection=dg.AssetSelection.checks(equality_check),
            description="Build all marts anew and compare them, row for row, with what the increments had made.",
        ),
        dg.define_asset_job(
            COMPACTION,
            selection=dg.AssetSelection.assets(compacted_events),
            description="Merge the small files of raw, and delete those that nobody reads any more.",
        ),
        dg.define_asset_job(
            "observe_raw",
            selection=dg.AssetSelection.assets(RAW_EVENTS_KEY).without_checks(),
            description="Note how far raw is.",
        ),
    ]


def define_schedules() -> list[dg.ScheduleDefinition]:
    """What happens by the clock, in UTC. Refreshing is not among it: that follows the events."""
    running = dg.DefaultScheduleStatus.RUNNING
    return [
        dg.ScheduleDefinition(
            name="hourly_quality", job_name=QUALITY, cron_schedule="7 * * * *", default_status=running
        ),
        dg.ScheduleDefinition(
            name="frequent_compaction", job_name=COMPACTION, cron_schedule="*/5 * * * *", default_status=running
        ),
        dg.ScheduleDefinition(
            name="nightly_equality", job_name=EQUALITY, cron_schedule="41 2 * * *", default_status=running
        ),
    ]
