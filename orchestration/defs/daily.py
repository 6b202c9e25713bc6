"""Days as partitions: each night the day before is compared, earlier ones when a backfill asks for them; and days of
the daily marts, which a backfill makes anew.
"""

from datetime import date
from typing import Any

import dagster as dg

from contracts.warehouse import Group
from orchestration.daily import compare_day
from orchestration.daily_marts import DAILY, make_day_anew
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


def _days_of(group: Group, name: str, owner: str, description: str) -> dg.AssetsDefinition:
    """Days of a group's daily marts, which a backfill makes anew."""

    @dg.asset(
        name=name,
        group_name=group.value,
        owners=[owner],
        deps=[mart.value for mart in DAILY[group]],
        description=f"{description}, made anew from the facts; the refresh keeps them up to date without it.",
        partitions_def=DAYS,
        retry_policy=dg.RetryPolicy(max_retries=2, delay=60),
    )
    def made_anew(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it
        """Make the partition's day anew."""
        day, holder = date.fromisoformat(context.partition_key), f"Dagster run {context.run.run_id}"
        made = make_day_anew(warehouse, day, holder=holder, group=group)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(one.rows for one in made.values()),
                "rows_put_right": sum(max(one.gone, one.came) for one in made.values()),
                "marts": dg.MetadataValue.json({mart.value: vars(one) for mart, one in made.items()}),
            }
        )

    return made_anew


#: By group, as each is published by itself.
DAYS_ANEW = {
    Group.SALES: _days_of(
        Group.SALES, "days_of_daily_marts", "team:sales operations", "Days of the daily marts of sales"
    ),
    Group.ACCOUNTS: _days_of(
        Group.ACCOUNTS, "days_of_accounts", "team:warehouse", "Days of what came through connected accounts"
    ),
    Group.BILLING: _days_of(Group.BILLING, "days_of_use", "team:warehouse", "Days of what was used beyond plans"),
}


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("events_by_day"),
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes what declares by itself when it is due.",
)
