"""Dagster's code location: joins `defs/` and hands out the resources. Loaded by name, so importing it does nothing."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.defs.compaction import compacted_events
from orchestration.defs.dbt_models import define_dbt_models
from orchestration.defs.jobs import define_jobs, define_schedules
from orchestration.defs.publishing import candidate_checks, published_warehouse
from orchestration.defs.quality import equality_check, raw_checks, reconcile_check
from orchestration.defs.raw import raw_events
from orchestration.manifest import load_manifest
from orchestration.resources import Pipeline, turn_resource


def build_defs(*, pipeline: Pipeline, manifest: Mapping[str, Any]) -> dg.Definitions:
    """All definitions over one warehouse. Every run stays in one process, which holds the build lock throughout."""
    models = define_dbt_models(manifest)
    return dg.Definitions(
        assets=[raw_events, compacted_events, models, published_warehouse],
        asset_checks=[candidate_checks, raw_checks, reconcile_check, equality_check],
        jobs=define_jobs(models),
        schedules=define_schedules(),
        resources={"pipeline": pipeline, "turn": turn_resource(pipeline)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions over the warehouse that the settings name."""
    pipeline = Pipeline.from_settings()
    return build_defs(pipeline=pipeline, manifest=load_manifest(pipeline.dbt_target_path))
