"""The warehouse as Dagster shows it: models and their lineage as assets, tests and quick checks as checks.

Updates do not run in Dagster: they report what they did, as events of the assets without a run of Dagster's, which cost
a third of what the same takes in a run (24 events: 0.33 s of processor instead of 1.2); told after each update they
took twice as long as the update.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

import dagster as dg

from contracts.warehouse import Mart
from orchestration.build.dbt import NodeResult, Project
from orchestration.build.mart_quality import MartFinding, measures
from orchestration.build.raw_quality import RawCheck
from orchestration.publish.checks import QUICK_CHECKS, Finding, check_names
from orchestration.update import Update

RAW_EVENTS = dg.AssetKey(["raw", "events"])
COMPACTED_EVENTS = dg.AssetKey(["raw", "compacted_events"])
PUBLISHED = dg.AssetKey("published_warehouse")

_OWNER = "team:warehouse"
RAW_CHECKS = {
    RawCheck.IDS_PRESENT: "Every event says what it is, whose, of what, and its number.",
    RawCheck.TYPES_KNOWN: "Every event is of a type that this release knows.",
    RawCheck.INSTANTS_PLAUSIBLE: "No event happened, or was learned, later than it was loaded.",
    RawCheck.VERSIONS_CONTIGUOUS: "Of no aggregate an event is missing between its first and its last.",
}

#: Dagster keeps such events until they are wiped.
_KEPT_SECONDS = 86_400.0
_CHECK_SECONDS = 600.0  # a check that passes as before is told again
_TELL_SECONDS = 30.0  # between two times that Dagster is told

AssetEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def define_assets(project: Project) -> list[dg.AssetSpec]:
    """Raw, all models of dbt, and what is published."""
    nodes = project.manifest.nodes
    models = [
        dg.AssetSpec(
            key=node.name,
            group_name=str(node.config.group),
            description=node.description,
            owners=[_owner_of(project, str(node.config.group))],
            metadata={"dagster/column_schema": _schema(node)} if node.columns else {},
            kinds={"dbt", node.config.materialized},
            tags={"speed": node.config.meta["speed"]},
            deps=[
                nodes[parent].name if parent in nodes else RAW_EVENTS for parent in dict.fromkeys(node.depends_on_nodes)
            ],
        )
        for name, node in nodes.items()
        if name.startswith("model.")
    ]
    raw = dg.AssetSpec(
        RAW_EVENTS,
        group_name="raw",
        owners=[_OWNER],
        description="Every event the loader took from Kafka, at least once.",
    )
    compacted = dg.AssetSpec(
        COMPACTED_EVENTS,
        group_name="raw",
        deps=[RAW_EVENTS],
        owners=[_OWNER],
        # the only one that the clock makes; all else follows the events, and is as old as the last of them
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1)),
        description=(
            "The raw relation after its small files were merged and the replaced ones deleted. Loader, refresh and "
            "readers go on meanwhile; no row changes."
        ),
    )
    published = dg.AssetSpec(
        PUBLISHED,
        group_name="published",
        owners=[_OWNER],
        deps=[dg.AssetKey(mart.value) for mart in Mart],
        # as dbt's description of raw promises: somebody writes something each day
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=1)),
        description="The version of the marts that the API reads. A group stays as it is while a check of it fails.",
    )
    return [raw, compacted, *models, published]


def define_checks(project: Project) -> list[dg.AssetCheckSpec]:
    """The tests of the models and the quick checks of a build: where one fails, its group is not published anew."""
    tests = [
        dg.AssetCheckSpec(node.name, asset=_tested(project, name), blocking=True, description=project.promises[name])
        for name, node in project.manifest.nodes.items()
        if name.startswith("test.")
    ]
    quick = [
        dg.AssetCheckSpec(name, asset=mart.value, blocking=True, description=QUICK_CHECKS[name])
        for name, mart in check_names()
    ]
    return [*tests, *quick]


def expectation_specs(project: Project) -> list[dg.AssetCheckSpec]:
    """The suites of Great Expectations over marts: where one does not hold, its part stays as it was published."""
    return [
        dg.AssetCheckSpec(one.name, asset=one.mart.value, blocking=True, description=one.holds)
        for one in measures(project)
    ]


def raw_check_specs() -> list[dg.AssetCheckSpec]:
    """The checks of raw."""
    return [dg.AssetCheckSpec(check.value, asset=RAW_EVENTS, description=RAW_CHECKS[check]) for check in RawCheck]


def _owner_of(project: Project, group: str) -> str:
    """Who answers for a group's models, as dbt's groups say."""
    found = next((one for one in project.manifest.groups.values() if one.name == group), None)
    return f"team:{found.owner.name}" if found is not None and found.owner.name else _OWNER


def _schema(node: Any) -> dg.TableSchema:  # noqa: ANN401  # dbt's own
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, str(column.data_type or ""), description=column.description)
            for column in node.columns.values()
        ]
    )


def events_of(done: Update, project: Project) -> Iterator[AssetEvent]:
    """What Dagster is to know of an update."""
    if done.raw is not None:
        yield dg.AssetObservation(
            RAW_EVENTS, metadata=_known({"dagster/row_count": done.raw.row_count, "version": done.raw.version})
        )
    rows = done.publication.row_counts if done.publication else {}
    parts = done.publication.parts if done.publication else {}
    for node in done.nodes:
        if node.resource_type == "test":
            if node.status != "skipped":
                yield evaluation_of(project, node)
        elif node.is_success:
            counted: dict[str, str | int] = {"dagster/row_count": rows[node.name]} if node.name in rows else {}
            if node.name in rows and (part := parts.get(str(project.parts[node.unique_id]))):
                counted["version"] = str(part["version"])  # in which the rows of its part changed last
            yield dg.AssetMaterialization(node.name, metadata=_known({"seconds": node.seconds, **counted}))
    for finding in done.findings:
        yield _found(finding)
    for judged in done.judged or []:
        yield expectation_of(judged)
    if done.publication is not None:
        shown = done.publication
        yield dg.AssetMaterialization(
            PUBLISHED,
            metadata=_known(
                {
                    "version": shown.version,
                    "seconds": done.seconds,
                    "bytes": done.bytes_published,
                    "events": shown.event_count,
                    "through": shown.through.isoformat() if shown.through else "",
                    "manifest": shown.manifest_hash,
                    "code": shown.code_version,
                }
            )
            | {"rows": dg.MetadataValue.json(shown.row_counts), "groups": dg.MetadataValue.json(dict(shown.parts))},
        )


class Record:
    """Reports updates to Dagster's instance, which keeps what happened in the last day, and the last of each.

    An event costs a commit, and an update has dozens of them: where updates follow one upon the other, the newest of
    each asset and check is told now and then, and at once where a check fails or passes again.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._waiting: dict[object, AssetEvent] = {}
        self._is_urgent = False
        self._latest: dict[object, AssetEvent] = {}
        self._told_at: dict[object, float] = {}
        self._last_at = -_TELL_SECONDS
        self._wiped_at = monotonic()

    def note(self, done: Update, project: Project) -> None:
        """Take up what came of an update, to be told when it is due."""
        for event in events_of(done, project):
            key = _key(event)
            if self._passes_again(event):
                self._waiting.pop(key, None)  # it failed, and passes again, before anybody was told
                continue
            self._waiting[key] = event
            self._is_urgent |= _is_failure(event) or _is_failure(self._latest.get(key))

    def tell_if_due(self) -> None:
        """Tell Dagster of what waits, unless it was told a moment ago."""
        if self._waiting and (self._is_urgent or monotonic() - self._last_at >= _TELL_SECONDS):
            self.tell()

    def tell(self) -> None:
        """Tell Dagster of all that waits."""
        while self._waiting:
            key, event = next(iter(self._waiting.items()))
            self._instance.report_runless_asset_event(event)
            self._latest[key], self._told_at[key] = event, monotonic()
            del self._waiting[key]
        self._is_urgent, self._last_at = False, monotonic()
        if monotonic() - self._wiped_at > _KEPT_SECONDS:
            self.wipe()

    def _passes_again(self, event: AssetEvent) -> bool:
        """Whether a check says nothing new: there are more of them than of all else."""
        if not isinstance(event, dg.AssetCheckEvaluation) or not event.passed:
            return False
        before = self._latest.get(_key(event))
        is_as_before = isinstance(before, dg.AssetCheckEvaluation) and before.passed
        return is_as_before and monotonic() - self._told_at[_key(event)] < _CHECK_SECONDS

    def wipe(self) -> None:
        """Forget all but the last event of each asset and check."""
        assets = {event.asset_key for event in self._latest.values()}
        self._instance.wipe_assets(sorted(assets))
        for event in self._latest.values():
            self._instance.report_runless_asset_event(event)
        self._wiped_at = monotonic()


def _is_failure(event: AssetEvent | None) -> bool:
    return isinstance(event, dg.AssetCheckEvaluation) and not event.passed


def _key(event: AssetEvent) -> object:
    return event.asset_check_key if isinstance(event, dg.AssetCheckEvaluation) else event.asset_key


def _tested(project: Project, test: str) -> dg.AssetKey:
    """The asset that a test is shown on: the model that it tests, or the one that it names."""
    node = project.manifest.nodes[test]
    attached = getattr(node, "attached_node", None)
    return dg.AssetKey(project.manifest.nodes[attached].name if attached else node.config.meta["shown_on"])


def evaluation_of(project: Project, node: NodeResult) -> dg.AssetCheckEvaluation:
    """What a test found, as Dagster records it."""
    return dg.AssetCheckEvaluation(
        asset_key=_tested(project, node.unique_id),
        check_name=node.name,
        passed=node.is_success,
        metadata=_known({"seconds": node.seconds, "failures": node.failures or 0}),
        severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        description=node.message,
        blocking=True,
    )


def expectation_of(finding: MartFinding) -> dg.AssetCheckEvaluation:
    """What a suite found of a mart, as Dagster records it."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(finding.measure.mart.value),
        check_name=finding.measure.name,
        passed=finding.passed,
        metadata={},
        description=finding.message,
        blocking=True,
    )


def _found(finding: Finding) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(finding.mart.value),
        check_name=finding.name,
        passed=finding.passed,
        metadata={},
        description=finding.message,
        blocking=True,
    )


def _known(values: Mapping[str, str | int | float]) -> dict[str, dg.MetadataValue]:
    return {
        name: dg.MetadataValue.text(value) if isinstance(value, str) else dg.MetadataValue.float(float(value))
        for name, value in values.items()
    }
