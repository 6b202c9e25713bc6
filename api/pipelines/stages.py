"""Rules of stages: add, rename, reorder, re-target, retire. A kind never changes, and an id outlives every name."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.kernel.constraints import explained
from api.kernel.context import Context
from api.kernel.errors import Conflict, NotFound, PreconditionFailed
from api.kernel.event_log import NewEvent, append, append_many
from api.models.stage import Stage
from api.pipelines import repository
from api.pipelines.arrangement import position_for, with_room_at, with_stage_at
from api.pipelines.service import StageDraft, created
from contracts.events.pipelines import StageDeleted, StageUpdated
from contracts.stages import StageKind


class StageNameTaken(Conflict):
    """Another active stage of the pipeline has this name."""

    code = "stage_name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another stage of this pipeline is called {name!r}.")


class StageIsRetired(Conflict):
    """A retired stage takes no changes and no deals."""

    code = "stage_retired"

    def __init__(self) -> None:
        super().__init__("This stage is retired.")


class StageHasOpenDeals(Conflict):
    """A stage with open deals cannot be retired."""

    code = "stage_has_open_deals"

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} open deals are in this stage. Move them first.")


class LastStageOfKind(Conflict):
    """A pipeline keeps an active stage of each kind."""

    code = "last_stage_of_kind"

    def __init__(self, kind: StageKind) -> None:
        self.kind = kind
        super().__init__(f"This is the pipeline's last stage of kind {kind.value!r}; it needs one.")


async def add_stage(session: AsyncSession, context: Context, *, pipeline_id: UUID, draft: StageDraft) -> Stage:
    """Add a stage; those in its way step aside.

    Raises:
        NotFound: no such pipeline here.
        StageNameTaken: an active stage of the pipeline has the name.
    """
    await _hold_pipeline(session, context, pipeline_id=pipeline_id)
    stages = await repository.stages_of(session, context.organization_id, pipeline_ids=[pipeline_id])
    position = draft.position
    if position is None:
        position = position_for(draft.kind, [(stage.stage_kind, stage.position) for stage in stages])
    events = _rearrange(stages, with_room_at({stage.id: stage.position for stage in stages}, position))
    stage = Stage(
        organization_id=context.organization_id,
        id=uuid7(),
        pipeline_id=pipeline_id,
        name=draft.name,
        kind=draft.kind.value,
        position=position,
        target_days=draft.target_days,
        is_retired=False,
        version=1,
    )
    session.add(stage)
    with explained({"uq_stages_name": lambda: StageNameTaken(draft.name)}):
        await session.flush()
    events.append(NewEvent(event=created(stage), aggregate_id=stage.id, aggregate_version=1))
    await append_many(session, events, context=context)
    return stage


async def update_stage(
    session: AsyncSession,
    context: Context,
    *,
    pipeline_id: UUID,
    stage_id: UUID,
    expected_version: int | None,
    changes: Mapping[str, Any],
) -> Stage:
    """Rename, move or re-target a stage. Each stage that takes another position says so in an event of its own.

    `changes` are the sent keys of `StageUpdate`.

    Raises:
        NotFound: no such stage in this pipeline.
        StageIsRetired: it is no longer in use.
        StageNameTaken: an active stage of the pipeline has the name.
    """
    stage = await _lock_active(
        session, context, pipeline_id=pipeline_id, stage_id=stage_id, expected_version=expected_version
    )
    stages = await repository.stages_of(session, context.organization_id, pipeline_ids=[pipeline_id])
    positions = {one.id: one.position for one in stages}
    moved = with_stage_at(positions, stage_id, position=changes.get("position", stage.position))
    name, target_days = changes.get("name", stage.name), changes.get("target_days", stage.target_days)
    is_changed = (name, target_days) != (stage.name, stage.target_days)
    stage.name, stage.target_days = name, target_days
    events = _rearrange(stages, moved | {stage_id: moved.get(stage_id, stage.position)} if is_changed else moved)
    if events:
        with explained({"uq_stages_name": lambda: StageNameTaken(name)}):
            await session.flush()
        await append_many(session, events, context=context)
    return stage


async def retire_stage(
    session: AsyncSession, context: Context, *, pipeline_id: UUID, stage_id: UUID, expected_version: int | None
) -> None:
    """Retire a stage: no deal can enter it any more.

    Raises:
        NotFound: no such stage in this pipeline.
        StageIsRetired: it is no longer in use already.
        LastStageOfKind: the pipeline has no other stage of its kind.
        StageHasOpenDeals: open deals stand in it.
    """
    stage = await _lock_active(
        session, context, pipeline_id=pipeline_id, stage_id=stage_id, expected_version=expected_version
    )
    stages = await repository.stages_of(session, context.organization_id, pipeline_ids=[pipeline_id])
    if all(other.kind != stage.kind for other in stages if other.id != stage_id):
        raise LastStageOfKind(stage.stage_kind)
    open_deals = await repository.count_open_deals(
        session, context.organization_id, pipeline_id=pipeline_id, stage_id=stage_id
    )
    if open_deals:
        raise StageHasOpenDeals(open_deals)
    stage.is_retired = True
    await append(session, StageDeleted(pipeline_id=pipeline_id), context=context, aggregate=stage)


async def _hold_pipeline(session: AsyncSession, context: Context, *, pipeline_id: UUID) -> None:
    if await repository.hold_pipeline(session, context.organization_id, pipeline_id=pipeline_id) is None:
        raise NotFound("pipeline")


async def _lock_active(
    session: AsyncSession, context: Context, *, pipeline_id: UUID, stage_id: UUID, expected_version: int | None
) -> Stage:
    await _hold_pipeline(session, context, pipeline_id=pipeline_id)
    stage = await repository.lock_stage(session, context.organization_id, pipeline_id=pipeline_id, stage_id=stage_id)
    if stage is None:
        raise NotFound("stage")
    if expected_version is not None and stage.version != expected_version:
        raise PreconditionFailed
    if stage.is_retired:
        raise StageIsRetired
    return stage


def _rearrange(stages: list[Stage], positions: Mapping[UUID, int]) -> list[NewEvent]:
    """Give these stages their positions and next versions; answers the events, not yet written."""
    events = []
    for stage in stages:
        if stage.id not in positions:
            continue
        stage.position = positions[stage.id]
        stage.version += 1
        event = StageUpdated(
            pipeline_id=stage.pipeline_id,
            name=stage.name,
            kind=stage.stage_kind,
            position=stage.position,
            target_days=stage.target_days,
        )
        events.append(NewEvent(event=event, aggregate_id=stage.id, aggregate_version=stage.version))
    return events
