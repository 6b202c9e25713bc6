"""`/v1/pipelines`: pipelines with their stages inside. Everybody reads them, administrators arrange them."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.pipelines import records, rules
from api.pipelines.schemas import PipelineCreate, PipelineRead, PipelineUpdate, StageCreate, StageRead, StageUpdate

router = slice_router(prefix="/pipelines", tags=["pipelines"])

_CHANGE_ERRORS = (NotFound, PreconditionFailed, PreconditionRequired)


@router.post("", status_code=201, responses=problems(rules.PipelineNameTaken))
async def create_pipeline(body: PipelineCreate, caller: Administrator, unit: Unit, response: Response) -> PipelineRead:
    """Create a pipeline with its stages."""
    drafts = [_draft(stage) for stage in body.stages]
    pipeline, stages = records.make_pipeline(unit, body.name, drafts)
    response.headers["Location"] = f"/v1/pipelines/{pipeline.id}"
    return _answer(pipeline, stages)


@router.get("")
async def list_pipelines(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    is_active: Annotated[bool | None, Query(description="Only active or only retired ones.")] = None,
) -> PageOf[PipelineRead]:
    """List pipelines, oldest first, with their active stages in order."""
    pipelines, cursor = await read_page(unit, records.PIPELINES, {"is_active": is_active}, page=page)
    stages = await records.stages_of(unit, [pipeline.id for pipeline in pipelines])
    return PageOf(items=[_answer(pipeline, stages) for pipeline in pipelines], next_cursor=cursor)


@router.get("/{pipeline_id}", responses=problems(NotFound))
async def read_pipeline(
    pipeline_id: UUID,
    caller: CurrentCaller,
    unit: Unit,
    *,
    include_retired: Annotated[bool, Query(description="Show retired stages too, after the active ones.")] = False,
) -> PipelineRead:
    """Read a pipeline with its stages."""
    return _answer(*await records.read_pipeline(unit, pipeline_id, with_retired=include_retired))


@router.patch(
    "/{pipeline_id}", responses=problems(*_CHANGE_ERRORS, rules.PipelineNameTaken, rules.PipelineHasOpenDeals)
)
async def update_pipeline(
    pipeline_id: UUID, body: PipelineUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> PipelineRead:
    """Rename a pipeline, retire it or take it back into use."""
    pipeline, stages, open_deals = await records.lock_pipeline(unit, pipeline_id)
    expect(pipeline, "pipeline", version=if_match)
    sent = body.model_dump(exclude_unset=True)
    change = rules.update_pipeline(pipeline, unit.now, changes=sent, open_deals=open_deals)
    if change is not None:
        records.write_changes(unit, [change])
        pipeline = change.after
    return _answer(pipeline, stages)


@router.post("/{pipeline_id}/stages", status_code=201, responses=problems(NotFound, rules.StageNameTaken))
async def add_stage(pipeline_id: UUID, body: StageCreate, caller: Administrator, unit: Unit) -> StageRead:
    """Add a stage. Stages in its way step aside."""
    stages = await records.hold_pipelines(unit, [pipeline_id])
    changes = rules.add_stage(stages, pipeline_id, _draft(body), unit.now)
    records.write_changes(unit, changes)
    return StageRead.model_validate(changes[-1].after)


@router.patch(
    "/{pipeline_id}/stages/{stage_id}",
    responses=problems(*_CHANGE_ERRORS, rules.StageNameTaken, rules.StageIsRetired),
)
async def update_stage(
    pipeline_id: UUID, stage_id: UUID, body: StageUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> StageRead:
    """Rename, move or re-target a stage. Its id and kind stay, and past reports keep the name of their day."""
    stage, stages, _ = await records.lock_stage(unit, pipeline_id, stage_id)
    expect(stage, "stage", version=if_match)
    changes = rules.update_stage(stages, stage, unit.now, changes=body.model_dump(exclude_unset=True))
    records.write_changes(unit, changes)
    return StageRead.model_validate(next((one.after for one in changes if one.after.id == stage_id), stage))


@router.delete(
    "/{pipeline_id}/stages/{stage_id}",
    status_code=204,
    responses=problems(*_CHANGE_ERRORS, rules.StageHasOpenDeals, rules.LastStageOfKind, rules.StageIsRetired),
)
async def retire_stage(pipeline_id: UUID, stage_id: UUID, caller: Administrator, unit: Unit, if_match: IfMatch) -> None:
    """Retire a stage: no deal can enter it any more, its history stays."""
    stage, stages, open_deals = await records.lock_stage(unit, pipeline_id, stage_id)
    expect(stage, "stage", version=if_match)
    records.write_changes(unit, [rules.retire_stage(stages, stage, unit.now, open_deals=open_deals)])


@router.post(
    "/{pipeline_id}/stages/{stage_id}/restore",
    responses=problems(*_CHANGE_ERRORS, rules.StageNameTaken, rules.StageIsInUse),
)
async def restore_stage(
    pipeline_id: UUID, stage_id: UUID, caller: Administrator, unit: Unit, if_match: IfMatch
) -> StageRead:
    """Bring a retired stage back to where it stood. Stages in its way step aside."""
    stage, stages, _ = await records.lock_stage(unit, pipeline_id, stage_id)
    expect(stage, "stage", version=if_match)
    changes = rules.restore_stage(stages, stage, unit.now)
    records.write_changes(unit, changes)
    return StageRead.model_validate(changes[-1].after)


def _draft(body: StageCreate) -> rules.StageDraft:
    return rules.StageDraft(**body.model_dump())


def _answer(pipeline: Any, stages: Iterable[rules.Stage]) -> PipelineRead:  # noqa: ANN401 # a state or a row
    shown = [StageRead.model_validate(stage) for stage in stages if stage.pipeline_id == pipeline.id]
    own = {name: getattr(pipeline, name) for name in PipelineRead.model_fields if name != "stages"}
    return PipelineRead(**own, stages=shown)
