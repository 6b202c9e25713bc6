"""What Dagster starts because of what it sees, not because of the clock. The refresh needs none of it."""

import json
from datetime import UTC, datetime

import dagster as dg

from contracts.settings import AlertSettings, MailSettings
from orchestration.alerts import news, tell, waiting_since, what_is_wrong
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


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells operators, by mail or webhook, of failed checks and late figures, and when it is over.",
)
def alerts(context: dg.SensorEvaluationContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.SkipReason:
    """Compare what is wrong with what was told."""
    settings = AlertSettings()
    if not settings.is_anybody_told:
        return dg.SkipReason("Nobody is to be told: see SLUICE_ALERT_MAIL and SLUICE_ALERT_WEBHOOK_URL.")
    status = warehouse.status.read()
    late = waiting_since(warehouse.event_log_url, status, datetime.now(UTC))
    wrong = what_is_wrong(status, waiting_since=late)
    begun, over = news(json.loads(context.cursor or "{}"), wrong)
    tell(begun, over, settings, MailSettings())
    context.update_cursor(json.dumps(wrong))
    return dg.SkipReason(f"{len(wrong)} things are wrong; {len(begun)} of them were told now, {len(over)} are over.")
