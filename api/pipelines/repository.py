"""Statements about pipelines and stages. Callers pass the organization; row-level security stands behind it."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.models.deal import Deal
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from contracts.stages import StageKind


def select_pipelines(organization_id: UUID, *, is_active: bool | None) -> Select[Pipeline]:
    """All pipelines, or the active or retired ones."""
    query = select(Pipeline).where(Pipeline.organization_id == organization_id)
    return query if is_active is None else query.where(Pipeline.is_active == is_active)


async def stages_of(session: AsyncSession, organization_id: UUID, *, pipeline_ids: Iterable[UUID]) -> list[Stage]:
    """The active stages of these pipelines, in order."""
    query = (
        select(Stage)
        .where(Stage.organization_id == organization_id, Stage.pipeline_id.in_(list(pipeline_ids)), ~Stage.is_retired)
        .order_by(Stage.pipeline_id, Stage.position, Stage.id)
    )
    return list((await session.execute(query)).scalars())


async def retired_stages_of(session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID) -> list[Stage]:
    """The retired stages of a pipeline, in the order they once had."""
    query = (
        select(Stage)
        .where(Stage.organization_id == organization_id, Stage.pipeline_id == pipeline_id, Stage.is_retired)
        .order_by(Stage.position, Stage.id)
    )
    return list((await session.execute(query)).scalars())


async def count_open_deals(
    session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID, stage_id: UUID | None = None
) -> int:
    """How many open deals stand in the pipeline, or in one stage of it."""
    conditions: list[ColumnElement[bool]] = [
        Deal.organization_id == organization_id,
        Deal.pipeline_id == pipeline_id,
        Deal.status == StageKind.OPEN,
        Deal.deleted_at.is_(None),
    ]
    if stage_id is not None:
        conditions.append(Deal.stage_id == stage_id)
    return (await session.execute(select(func.count()).where(*conditions))).scalar_one()


async def hold_pipeline(session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID) -> Pipeline | None:
    """The pipeline, locked against changes but not against new deals.

    Deals share the stage's row before the pipeline's: a stronger lock here could deadlock with them.
    """
    query = (
        select(Pipeline)
        .where(Pipeline.organization_id == organization_id, Pipeline.id == pipeline_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def lock_stage(
    session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID, stage_id: UUID
) -> Stage | None:
    """The stage, locked against changes and against deals that enter it: their foreign key takes a share of the row."""
    query = (
        select(Stage)
        .where(Stage.organization_id == organization_id, Stage.pipeline_id == pipeline_id, Stage.id == stage_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.execute(query)).scalar_one_or_none()
