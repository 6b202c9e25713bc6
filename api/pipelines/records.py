"""Statements of pipelines and stages.

Whoever changes a pipeline or its stages holds the pipeline's row, weakly: deals share the stage's row before the
pipeline's, and a stronger lock could deadlock with them.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Boolean, Uuid, and_, bindparam, func, or_, select, union_all

from api.db.statements import compiled, is_one_of
from api.kernel.changes import Change
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.pipeline import Pipeline as PipelineRow
from api.models.stage import Stage as StageRow
from api.pipelines.rules import (
    DEFAULT_PIPELINE,
    DEFAULT_STAGES,
    Pipeline,
    PipelineNameTaken,
    Stage,
    StageDraft,
    StageNameTaken,
    create_pipeline,
    first_stages,
)
from contracts.events.pipelines import PipelineCreated, PipelineUpdated, StageCreated, StageUpdated
from contracts.stages import StageKind

_TABLES = {Pipeline: PipelineRow, Stage: StageRow}

_PIPELINES = rows_of(Pipeline, PipelineRow)
ALL_ACTIVE_PIPELINES = compiled(
    _PIPELINES.where(PipelineRow.is_active).order_by(PipelineRow.created_at, PipelineRow.id)
)
PIPELINES = Listing(
    _PIPELINES, filters={"is_active": PipelineRow.is_active == bindparam("is_active")}, order=(PipelineRow.id,)
)
_NAMED = _PIPELINES.where(is_one_of(PipelineRow.id, "pipeline_ids")).order_by(PipelineRow.id)
_READ_PIPELINES = compiled(_NAMED)
_HOLD_PIPELINES = compiled(_NAMED.with_for_update(key_share=True))
# against new deals too: their foreign key takes a share of the row
_LOCK_PIPELINES = compiled(_NAMED.with_for_update())

_STAGES = rows_of(Stage, StageRow).order_by(StageRow.is_retired, StageRow.pipeline_id, StageRow.position, StageRow.id)
_STAGES_OF = compiled(
    _STAGES.where(
        is_one_of(StageRow.pipeline_id, "pipeline_ids"),
        or_(~StageRow.is_retired, bindparam("with_retired", type_=Boolean)),
    )
)
ALL_STAGES = compiled(_STAGES)
#: Every name that pipelines and stages ever had: files of other systems still say the old ones.
ALL_NAMES_EVER = compiled(
    union_all(
        *(
            select(EventLogRow.aggregate_id, EventLogRow.data["name"].astext.label("name"))
            .join(
                row,
                and_(
                    row.organization_id == EventLogRow.organization_id,
                    row.id == EventLogRow.aggregate_id,
                ),
            )
            .where(
                EventLogRow.organization_id == bindparam("organization_id"),
                EventLogRow.type.in_([event.type for event in events]),
            )
            .distinct()
            for row, events in (
                (StageRow, (StageCreated, StageUpdated)),
                (PipelineRow, (PipelineCreated, PipelineUpdated)),
            )
        )
    )
)
# against deals that enter it too
_LOCK_STAGE = compiled(
    _STAGES.where(
        StageRow.pipeline_id == bindparam("pipeline_id"), StageRow.id == bindparam("stage_id")
    ).with_for_update()
)
_OPEN_DEALS = compiled(
    select(func.count().label("count_")).where(
        Deal.organization_id == bindparam("organization_id"),
        Deal.pipeline_id == bindparam("pipeline_id"),
        Deal.stage_id == func.coalesce(bindparam("stage_id", type_=Uuid), Deal.stage_id),
        Deal.status == StageKind.OPEN.value,
        Deal.deleted_at.is_(None),
    )
)


async def stages_of(unit: UnitOfWork, pipeline_ids: Sequence[UUID]) -> list[Stage]:
    """The active stages of these pipelines, in order."""
    rows = await unit.fetch(_STAGES_OF, pipeline_ids=list(pipeline_ids), with_retired=False)
    return as_states(Stage, rows)


async def read_pipeline(
    unit: UnitOfWork, pipeline_id: UUID, *, with_retired: bool = False
) -> tuple[Pipeline, list[Stage]]:
    """A pipeline and its active stages in order; after them, if asked for, the retired ones in the order they had.

    Raises:
        NotFound: no such pipeline here.
    """
    found, stages = await unit.fetch_all(
        _READ_PIPELINES.bind(pipeline_ids=[pipeline_id]),
        _STAGES_OF.bind(pipeline_ids=[pipeline_id], with_retired=with_retired),
    )
    return only(Pipeline, found, "pipeline"), as_states(Stage, stages)


async def hold_pipelines(unit: UnitOfWork, pipeline_ids: Sequence[UUID]) -> list[Stage]:
    """The active stages of these pipelines, held against other changes but not against new deals.

    Raises:
        NotFound: one of them is none of this organization.
    """
    ids = list(dict.fromkeys(pipeline_ids))  # who knows some by former names, too, names them twice
    found, stages = await unit.fetch_all(
        _HOLD_PIPELINES.bind(pipeline_ids=ids), _STAGES_OF.bind(pipeline_ids=ids, with_retired=False)
    )
    if len(found) < len(ids):
        raise NotFound("pipeline")
    return as_states(Stage, stages)


async def lock_pipeline(unit: UnitOfWork, pipeline_id: UUID) -> tuple[Pipeline, list[Stage], int]:
    """The same, locked also against new deals; and how many open deals it has."""
    found, stages, [deals] = await unit.fetch_all(
        _LOCK_PIPELINES.bind(pipeline_ids=[pipeline_id]),
        _STAGES_OF.bind(pipeline_ids=[pipeline_id], with_retired=False),
        _OPEN_DEALS.bind(pipeline_id=pipeline_id, stage_id=None),
    )
    return only(Pipeline, found, "pipeline"), as_states(Stage, stages), deals.count_


async def lock_stage(unit: UnitOfWork, pipeline_id: UUID, stage_id: UUID) -> tuple[Stage, list[Stage], int]:
    """A stage, the active stages of its pipeline, and how many open deals stand in it; locked also against new ones.

    Raises:
        NotFound: no such pipeline here, or no such stage in it.
    """
    pipeline, stage, stages, [deals] = await unit.fetch_all(
        _HOLD_PIPELINES.bind(pipeline_ids=[pipeline_id]),
        _LOCK_STAGE.bind(pipeline_id=pipeline_id, stage_id=stage_id),
        _STAGES_OF.bind(pipeline_ids=[pipeline_id], with_retired=False),
        _OPEN_DEALS.bind(pipeline_id=pipeline_id, stage_id=stage_id),
    )
    only(Pipeline, pipeline, "pipeline")
    return only(Stage, stage, "stage"), as_states(Stage, stages), deals.count_


def write_changes(unit: UnitOfWork, changes: Iterable[Change[Pipeline] | Change[Stage]]) -> None:
    """Queue what was decided."""
    changes = list(changes)
    names = {type(change.after): change.after.name for change in changes}
    unit.explain(
        {
            "uq_pipelines_name": lambda: PipelineNameTaken(names[Pipeline]),
            "uq_stages_name": lambda: StageNameTaken(names[Stage]),
        }
    )
    write(unit, changes, _TABLES)


def make_pipeline(
    unit: UnitOfWork, name: str = DEFAULT_PIPELINE, drafts: Sequence[StageDraft] = DEFAULT_STAGES
) -> tuple[Pipeline, list[Stage]]:
    """Make a pipeline and its stages; answers them in order. The default ones are a new organization's first."""
    pipeline = create_pipeline(name, unit.now)
    stages = first_stages(pipeline.after.id, drafts, unit.now)
    write_changes(unit, [pipeline, *stages])
    return pipeline.after, [change.after for change in stages]
