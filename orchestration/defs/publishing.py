"""The candidate's quick checks, and the asset that people read: it changes only when every blocking check passed."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from contracts.warehouse import Mart
from metrics.status import Check, CheckState
from orchestration.candidate import Finding, check_names, judge, read_candidate
from orchestration.manifest import project_hash
from orchestration.publish import Publication, last_publication, publish
from orchestration.raw_state import generation_of
from orchestration.report import RefreshReport
from orchestration.resources import Pipeline


class CandidateConfig(dg.Config):
    """What a person may decide about a candidate."""

    accept_fewer_rows: bool = False


@dg.multi_asset_check(
    name="candidate_checks",
    specs=[dg.AssetCheckSpec(name, asset=mart.value, blocking=True) for name, mart in check_names()],
)
def candidate_checks(
    config: CandidateConfig,
    pipeline: dg.ResourceParam[Pipeline],
    turn: dg.ResourceParam[RefreshReport],
) -> Iterator[dg.AssetCheckResult]:
    """Compare the build with the version that readers have now."""
    with turn.reporting():
        published = last_publication(pipeline.url)
        findings = judge(
            read_candidate(pipeline.url),
            published,
            now=datetime.now(UTC),
            may_shrink=config.accept_fewer_rows or _was_rewritten(turn.raw_version, published),
        )
        yield from (_check_result(finding) for finding in findings)
        turn.add([_status_check(finding) for finding in findings])


@dg.asset(
    name="published_warehouse",
    group_name="published",
    deps=[dg.AssetKey(mart.value) for mart in Mart],
    description="The version of the marts that the API reads. It stays as it is while a blocking check fails.",
)
def published_warehouse(
    pipeline: dg.ResourceParam[Pipeline], turn: dg.ResourceParam[RefreshReport]
) -> dg.MaterializeResult[None]:
    """Publish the build."""
    with turn.reporting():
        publication = publish(
            pipeline.url, manifest_hash=project_hash(), now=datetime.now(UTC), raw_version=turn.raw_version
        )
    turn.succeed()
    return dg.MaterializeResult(data_version=dg.DataVersion(publication.version), metadata=_metadata(publication))


def _was_rewritten(raw_version: str | None, published: Publication | None) -> bool:
    """Whether a person rewrote raw from PostgreSQL since the last publication: what it then holds is the truth."""
    return published is not None and generation_of(raw_version) > generation_of(published.raw_version)


def _check_result(finding: Finding) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=finding.mart.value, check_name=finding.name, passed=finding.passed, description=finding.message
    )


def _status_check(finding: Finding) -> Check:
    return Check(
        name=f"new figures: {finding.title}",
        status=CheckState.OK if finding.passed else CheckState.FAILED,
        message=finding.message,
        finished_at=datetime.now(UTC),
    )


def _metadata(publication: Publication) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {
        "version": dg.MetadataValue.text(publication.version),
        "events": dg.MetadataValue.int(publication.event_count),
        "manifest": dg.MetadataValue.text(publication.manifest_hash),
        "code": dg.MetadataValue.text(publication.code_version),
        "rows": dg.MetadataValue.json(publication.row_counts),
    }
    if publication.through is not None:
        shown["through"] = dg.MetadataValue.timestamp(publication.through)
    return shown
