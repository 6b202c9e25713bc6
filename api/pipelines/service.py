"""Rules of pipelines: what one begins with, how it changes, when it may be retired. Its stages' rules are in `stages`.

A pipeline always has an active open, won and lost stage. Every change of a pipeline or of its stages holds the
pipeline's row, so two people arranging one pipeline take turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.kernel.constraints import explained
from api.kernel.context import Context
from api.kernel.errors import Conflict
from api.kernel.event_log import NewEvent, append, append_many
from api.kernel.rows import lock
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.pipelines import repository
from contracts.events.pipelines import PipelineCreated, PipelineUpdated, StageCreated
from contracts.stages import StageKind


class PipelineNameTaken(Conflict):
    """Another active pipeline has this name."""

    code = "pipeline_name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another pipeline is called {name!r}.")


class PipelineHasOpenDeals(Conflict):
    """A pipeline with open deals cannot be retired."""

    code = "pipeline_has_open_deals"

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} open deals are in this pipeline. Close them first.")


@dataclass(frozen=True, kw_only=True)
class StageDraft:
    """A stage to be made with its pipeline. Without positions the order of the drafts counts."""

    name: str
    kind: StageKind
    target_days: int | None = None
    position: int | None = None


DEFAULT_PIPELINE = "Sales"
DEFAULT_STAGES = (
    StageDraft(name="New", kind=StageKind.OPEN, target_days=7),
    StageDraft(name="Qualified", kind=StageKind.OPEN, target_days=14),
    StageDraft(name="Proposal", kind=StageKind.OPEN, target_days=14),
    StageDraft(name="Negotiation", kind=StageKind.OPEN, target_days=21),
    StageDraft(name="Won", kind=StageKind.WON),
    StageDraft(name="Lost", kind=StageKind.LOST),
)


async def create_default_pipeline(session: AsyncSession, context: Context) -> Pipeline:
    """The first pipeline of a new organization, which may change all of it."""
    pipeline, _stages = await create_pipeline(session, context, name=DEFAULT_PIPELINE, stages=DEFAULT_STAGES)
    return pipeline


async def create_pipeline(
    session: AsyncSession, context: Context, *, name: str, stages: Sequence[StageDraft]
) -> tuple[Pipeline, list[Stage]]:
    """Make a pipeline and its stages; answers them in order.

    Raises:
        PipelineNameTaken: another active pipeline has the name.
    """
    organization_id = context.organization_id
    pipeline = Pipeline(organization_id=organization_id, id=uuid7(), name=name, version=1, is_active=True)
    made = [
        Stage(
            organization_id=organization_id,
            id=uuid7(),
            pipeline_id=pipeline.id,
            name=draft.name,
            kind=draft.kind.value,
            position=place if draft.position is None else draft.position,
            target_days=draft.target_days,
            is_retired=False,
            version=1,
        )
        for place, draft in enumerate(stages)
    ]
    with explained({"uq_pipelines_name": lambda: PipelineNameTaken(name)}):
        session.add(pipeline)
        await session.flush()
    session.add_all(made)
    await session.flush()
    events = [NewEvent(event=PipelineCreated(name=name), aggregate_id=pipeline.id, aggregate_version=1)]
    events += [NewEvent(event=created(stage), aggregate_id=stage.id, aggregate_version=1) for stage in made]
    await append_many(session, events, context=context)
    return pipeline, sorted(made, key=lambda stage: stage.position)


def created(stage: Stage) -> StageCreated:
    """The event of a new stage."""
    return StageCreated(
        pipeline_id=stage.pipeline_id,
        name=stage.name,
        kind=stage.stage_kind,
        position=stage.position,
        target_days=stage.target_days,
    )


async def update_pipeline(
    session: AsyncSession,
    context: Context,
    *,
    pipeline_id: UUID,
    expected_version: int | None,
    name: str | None,
    is_active: bool | None,
) -> Pipeline:
    """Rename, retire or revive a pipeline. None leaves as is; nothing to change writes nothing.

    Raises:
        PipelineHasOpenDeals: it cannot be retired.
        PipelineNameTaken: another active pipeline has the name.
    """
    pipeline = await lock(
        session,
        Pipeline,
        organization_id=context.organization_id,
        id=pipeline_id,
        noun="pipeline",
        expected_version=expected_version,
    )
    new_name = pipeline.name if name is None else name
    new_standing = pipeline.is_active if is_active is None else is_active
    if (new_name, new_standing) == (pipeline.name, pipeline.is_active):
        return pipeline
    if pipeline.is_active and not new_standing:
        open_deals = await repository.count_open_deals(session, context.organization_id, pipeline_id=pipeline_id)
        if open_deals:
            raise PipelineHasOpenDeals(open_deals)
    pipeline.name, pipeline.is_active = new_name, new_standing
    event = PipelineUpdated(name=new_name, is_active=new_standing)
    with explained({"uq_pipelines_name": lambda: PipelineNameTaken(new_name)}):
        await append(session, event, context=context, aggregate=pipeline)
    return pipeline
