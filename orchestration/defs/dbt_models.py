"""The dbt models as assets and their tests as checks, with the lineage that dbt's manifest knows.

One step builds the project as a whole, in this process and warm: a batch of events counts as done only when every
model and test succeeded on it, so a partial selection would only be built again.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, dbt_assets

from metrics.status import Check, CheckState
from orchestration.candidate import read_candidate
from orchestration.dbt_runner import DbtError, NodeResult, build
from orchestration.defs.raw import RAW_EVENTS_KEY, describe
from orchestration.raw_state import read_raw_state
from orchestration.report import RefreshReport
from orchestration.resources import Pipeline

_UNIQUE_ID = "dagster_dbt/unique_id"


class BuildConfig(dg.Config):
    """What a person may choose when starting a build."""

    full_refresh: bool = False


class ModelNames(DagsterDbtTranslator):
    """Asset key = table name; groups are the project's folders."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The table's name, and the raw relation's own key."""
        if dbt_resource_props["resource_type"] == "source":
            return RAW_EVENTS_KEY
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The folder that the model lies in."""
        return str(dbt_resource_props["fqn"][-2])


def define_dbt_models(manifest: Mapping[str, Any]) -> dg.AssetsDefinition:
    """All models of the project, built by one step."""

    @dbt_assets(manifest=manifest, name="dbt_models", dagster_dbt_translator=ModelNames())
    def dbt_models(
        context: dg.AssetExecutionContext,
        config: BuildConfig,
        pipeline: dg.ResourceParam[Pipeline],
        turn: dg.ResourceParam[RefreshReport],
    ) -> Iterator[Any]:
        """Bring all models up to date with raw and test them."""
        with turn.reporting():
            if (state := read_raw_state(pipeline.url)) is not None:
                turn.raw_version = state.version
                yield dg.AssetObservation(
                    RAW_EVENTS_KEY, metadata=describe(state), tags={"dagster/data_version": state.version}
                )
            nodes, error = run_dbt(pipeline, full_refresh=config.full_refresh)
            if error is None or error.node:
                row_counts = read_candidate(pipeline.url).row_counts if error is None else {}
                yield from _results(context, nodes, row_counts)
            turn.add(summarize_tests(nodes))
            if error is not None:
                raise error

    return dbt_models


def run_dbt(pipeline: Pipeline, *, full_refresh: bool) -> tuple[list[NodeResult], DbtError | None]:
    """Build and test everything; answers what became of each node, also when one failed."""
    nodes: list[NodeResult] = []
    try:
        build(pipeline.warehouse, target_path=pipeline.dbt_target_path, full_refresh=full_refresh, on_node=nodes.append)
    except DbtError as error:
        return nodes, error
    return nodes, None


def summarize_tests(nodes: list[NodeResult]) -> list[Check]:
    """The status's entries: one for all tests if they passed, else one for each that did not."""
    now = datetime.now(UTC)
    tests = [node for node in nodes if node.resource_type == "test"]
    failed = [node for node in tests if node.status in ("fail", "error")]
    warned = [node for node in tests if node.status == "warn"]
    if failed or warned:
        return [
            *(_check_of(node, CheckState.FAILED, now) for node in failed),
            *(_check_of(node, CheckState.WARN, now) for node in warned),
        ]
    message = f"All {len(tests)} tests passed."
    return [Check(name="model tests: all", status=CheckState.OK, message=message, finished_at=now)]


def _check_of(node: NodeResult, status: CheckState, now: datetime) -> Check:
    message = node.message or f"{node.failures} rows break the test."
    return Check(name=f"model tests: {node.name}", status=status, message=message, finished_at=now)


def _results(
    context: dg.AssetExecutionContext, nodes: list[NodeResult], row_counts: Mapping[str, int]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    by_name = {node.name: node for node in nodes}
    for one in nodes:  # in the order in which dbt finished them: Dagster insists on parents first
        key = dg.AssetKey(one.name)
        if one.is_success and key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=_metadata(one, row_counts))
    for spec in context.assets_def.check_specs:
        node = by_name.get(str(spec.metadata[_UNIQUE_ID]).split(".")[2])
        if node is not None and spec.key in context.selected_asset_check_keys and node.status != "skipped":
            yield dg.AssetCheckResult(
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=node.is_success,
                severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
                description=node.message,
                metadata={"seconds": node.seconds, "failures": node.failures or 0},
            )


def _metadata(node: NodeResult, row_counts: Mapping[str, int]) -> dict[str, Any]:
    counted = {"dagster/row_count": row_counts[node.name]} if node.name in row_counts else {}
    return {"seconds": node.seconds, **counted}
