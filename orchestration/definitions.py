"""Dagster's code location: joins `defs/` and hands out the warehouse. Loaded by name, so importing it does nothing."""

import dagster as dg

from orchestration.build.dbt import Project, load_project
from orchestration.defs import billing, daily, forgetting, scoring
from orchestration.defs.assets import define_assets
from orchestration.defs.jobs import define_jobs, define_quality_checks, define_schedules
from orchestration.defs.sensors import alerts, first_quality
from orchestration.warehouse import Warehouse


def build_defs(*, warehouse: Warehouse, project: Project) -> dg.Definitions:
    """All definitions over one warehouse. Every run stays in one process."""
    checks = define_quality_checks(project)
    return dg.Definitions(
        assets=[
            *define_assets(project),
            billing.stripe_reconciliation,
            scoring.lead_model,
            scoring.lead_scores,
            daily.events_by_day,
            *daily.DAYS_ANEW.values(),
        ],
        asset_checks=checks,
        jobs=[
            *define_jobs(checks),
            billing.reconcile_stripe,
            forgetting.forget_organizations,
            scoring.train_scores,
            scoring.score_changes,
        ],
        schedules=[*define_schedules(), billing.NIGHTLY, forgetting.frequent_forgetting, scoring.nightly_training],
        sensors=[first_quality, alerts, daily.automation],
        resources={"warehouse": warehouse},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions over the warehouse that the settings name."""
    warehouse = Warehouse.from_settings()
    project = load_project(warehouse.settings, target_path=warehouse.dbt_target_path)
    return build_defs(warehouse=warehouse, project=project)
