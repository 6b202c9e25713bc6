"""`/v1/pipelines`: pipelines with their stages inside. Everybody reads them, administrators arrange them."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Session
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.rows import find
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.pipelines import repository, service, stages
from api.pipelines.schemas import (
    PipelineCreate,
    PipelineRead,
    PipelineUpdate,
    StageCreate,
    StageRead,
    StageUpdate,
)

router = slice_router(prefix="/pipelines", tags=["pipelines"])

_CHANGE_ERRORS = (NotFound, PreconditionFailed, PreconditionRequired)


@router.post("", status_code=201, responses=problems(service.PipelineNameTaken))
async def create_pipeline(
    body: PipelineCreate, caller: Administrator, session: Session, response: Response
) -> PipelineRead:
    """Create a pipeline with its stages."""
    drafts = [_draft(stage) for stage in body.stages]
    pipeline, made = await service.create_pipeline(session, caller.context, name=body.name, stages=drafts)
    response.headers["Location"] = f"/v1/pipelines/{pipeline.id}"
    return _answer(pipeline, made)


@router.get("")
async def list_pipelines(
    caller: CurrentCaller,
    session: Session,
    page: Page,
    is_active: Annotated[bool | None, Query(description="Only active or only retired ones.")] = None,
) -> PageOf[PipelineRead]:
    """List pipelines, oldest first, with their active stages in order."""
    query = repository.select_pipelines(caller.organization_id, is_active=is_active)
    pipelines, cursor = await fetch_page(session, query, page=page, id_column=Pipeline.id)
    found = await repository.stages_of(
        session, caller.organization_id, pipeline_ids=[pipeline.id for pipeline in pipelines]
    )
    return PageOf(items=[_answer(pipeline, found) for pipeline in pipelines], next_cursor=cursor)


@router.get("/{pipeline_id}", responses=problems(NotFound))
async def read_pipeline(
    pipeline_id: UUID,
    caller: CurrentCaller,
    session: Session,
    *,
    include_retired: Annotated[bool, Query(description="Show retired stages too, after the active ones.")] = False,
) -> PipelineRead:
    """Read a pipeline with its stages."""
    pipeline = await find(session, Pipeline, organization_id=caller.organization_id, id=pipeline_id, noun="pipeline")
    shown = await repository.stages_of(session, caller.organization_id, pipeline_ids=[pipeline_id])
    if include_retired:
        shown += await repository.retired_stages_of(session, caller.organization_id, pipeline_id=pipeline_id)
    return _answer(pipeline, shown)


@router.patch(
    "/{pipeline_id}",
    responses=problems(*_CHANGE_ERRORS, service.PipelineNameTaken, service.PipelineHasOpenDeals),
)
async def update_pipeline(
    pipeline_id: UUID, body: PipelineUpdate, caller: Administrator, session: Session, if_match: IfMatch
) -> PipelineRead:
    """Rename a pipeline, retire it or take it back into use."""
    pipeline = await service.update_pipeline(
        session,
        caller.context,
        pipeline_id=pipeline_id,
        expected_version=if_match,
        name=body.name,
        is_active=body.is_active,
    )
    return _answer(pipeline, await repository.stages_of(session, caller.organization_id, pipeline_ids=[pipeline_id]))


@router.post("/{pipeline_id}/stages", status_code=201, responses=problems(NotFound, stages.StageNameTaken))
async def add_stage(pipeline_id: UUID, body: StageCreate, caller: Administrator, session: Session) -> StageRead:
    """Add a stage. Stages in its way step aside."""
    stage = await stages.add_stage(session, caller.context, pipeline_id=pipeline_id, draft=_draft(body))
    return StageRead.model_validate(stage)


@router.patch(
    "/{pipeline_id}/stages/{stage_id}",
    responses=problems(*_CHANGE_ERRORS, stages.StageNameTaken, stages.StageIsRetired),
)
async def update_stage(
    pipeline_id: UUID,
    stage_id: UUID,
    body: StageUpdate,
    caller: Administrator,
    session: Session,
    if_match: IfMatch,
) -> StageRead:
    """Rename, move or re-target a stage. Its id and kind stay, and past reports keep the name of their day."""
    stage = await stages.update_stage(
        session,
        caller.context,
        pipeline_id=pipeline_id,
        stage_id=stage_id,
        expected_version=if_match,
        changes=body.model_dump(exclude_unset=True),
    )
    return StageRead.model_validate(stage)


@router.delete(
    "/{pipeline_id}/stages/{stage_id}",
    status_code=204,
    responses=problems(*_CHANGE_ERRORS, stages.StageHasOpenDeals, stages.LastStageOfKind, stages.StageIsRetired),
)
async def retire_stage(
    pipeline_id: UUID, stage_id: UUID, caller: Administrator, session: Session, if_match: IfMatch
) -> None:
    """Retire a stage: no deal can enter it any more, its history stays."""
    await stages.retire_stage(
        session, caller.context, pipeline_id=pipeline_id, stage_id=stage_id, expected_version=if_match
    )


def _draft(body: StageCreate) -> service.StageDraft:
    return service.StageDraft(name=body.name, kind=body.kind, target_days=body.target_days, position=body.position)


def _answer(pipeline: Pipeline, found: Sequence[Stage]) -> PipelineRead:
    return PipelineRead(
        id=pipeline.id,
        version=pipeline.version,
        name=pipeline.name,
        is_active=pipeline.is_active,
        stages=[StageRead.model_validate(stage) for stage in found if stage.pipeline_id == pipeline.id],
        created_at=pipeline.created_at,
        updated_at=pipeline.updated_at,
    )
