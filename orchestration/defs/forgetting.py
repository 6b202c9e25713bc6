"""Organizations that were deleted are forgotten by the warehouse, within minutes."""

import dagster as dg

from ingest.forgetting import find_deleted, forget_deleted
from orchestration.warehouse import Warehouse


@dg.op(description="Remove from raw what it has of deleted organizations; the refresh then builds the marts anew.")
def forget(context: dg.OpExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> None:
    """Let raw forget."""
    removed = forget_deleted(warehouse.event_log_url, warehouse.settings)
    context.log.info("%d events of deleted organizations were removed from raw", removed)


@dg.job(
    description="Remove from raw what it has of deleted organizations.",
    op_retry_policy=dg.RetryPolicy(max_retries=2, delay=20),  # a loader or a comparison may be in its way
)
def forget_organizations() -> None:
    """Forget them."""
    forget()


@dg.schedule(
    job_name="forget_organizations",
    cron_schedule="2-59/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks for that while there is a deleted organization that raw may still have something of.",
)
def frequent_forgetting(warehouse: dg.ResourceParam[Warehouse]) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run where it has something to do."""
    if not find_deleted(warehouse.event_log_url):
        return dg.SkipReason("No deleted organization waits to be forgotten.")
    return dg.RunRequest()
