"""Days as partitions: each night the day before is compared, earlier ones when a backfill asks for them."""

from datetime import date
from typing import Any

import dagster as dg

from orchestration.daily import compare_day
from orchestration.defs.assets import RAW_EVENTS
from orchestration.warehouse import Warehouse

COMPLETE = "day_is_complete"
DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01")

_OWNER = "team:warehouse"
# Dagster declares conditions of assets and of checks by one type, and takes either
_DUE: Any = dg.AutomationCondition.cron_tick_passed("19 1 * * *")
_NIGHTLY: Any = dg.AutomationCondition.in_latest_time_window() & _DUE.since_last_handled()


@dg.asset(
    name="events_by_day",
    group_name="raw",
    owners=[_OWNER],
    deps=[RAW_EVENTS],
    description="A day's events in PostgreSQL beside those in raw, by type.",
    partitions_def=DAYS,
    retry_policy=dg.RetryPolicy(max_retries=2, delay=60),
    automation_condition=_NIGHTLY,
    check_specs=[
        dg.AssetCheckSpec(
            COMPLETE,
            asset="events_by_day",
            description="Every event that PostgreSQL recorded on the day is in raw, and no other is.",
        )
    ],
)
def events_by_day(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it
    """Compare the partition's day."""
    found = compare_day(warehouse.event_log_url, warehouse.url, date.fromisoformat(context.partition_key))
    differences = found.differences
    message = "; ".join(differences) or f"{found.events:,} events, each of them in raw."
    return dg.MaterializeResult(
        metadata={"events": found.events, "differences": len(differences)},
        check_results=[dg.AssetCheckResult(check_name=COMPLETE, passed=not differences, description=message)],
    )


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("events_by_day"),
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes what declares by itself when it is due.",
)
