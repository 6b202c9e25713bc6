"""What Dagster starts because of what it sees, not because of the clock. The refresh needs none of it."""

import dagster as dg

from orchestration.publish import last_publication
from orchestration.warehouse import Warehouse


@dg.sensor(
    job_name="quality",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares PostgreSQL with the first published version at once: from then on it happens every hour.",
)
def first_quality(
    context: dg.SensorEvaluationContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the quality checks once, when there is something to check."""
    if context.cursor:
        return dg.SkipReason("It has looked; the hourly schedule goes on.")
    published = last_publication(warehouse.url)
    if published is None:
        return dg.SkipReason("Nothing is published yet.")
    context.update_cursor(published.version)
    return dg.RunRequest(run_key="first")
