"""Statements beside the warehouse: names of ids, titles of deals, and how many events it lacks."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, literal, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from api.metrics.schemas import Process, Reconciliation
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.picklist_value import PicklistValue
from api.models.pipeline import Pipeline
from api.models.team import Team
from api.models.user import User

_PROCESSES = text("""
select process as name, updated_at as seen_at, cast(detail ->> 'pending' as bigint) as lag,
    detail ->> 'error' as message,
    case when updated_at < clock_timestamp() - interval '1 minute' then 'silent' else state end as state
from process_status
order by process
""")


_RECONCILIATION = text("""
select checked_at, events, in_flight, missing, extra, different, wrong_figures, repaired_at,
    missing + extra + different + coalesce(wrong_figures, 0) = 0 as is_clean
from reconciliations
where organization_id = :organization_id
""")


async def names(session: AsyncSession, organization_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """Names of users and teams, labels of picklist values, as they are now."""
    if not ids:
        return {}
    columns = ((User, User.name), (Team, Team.name), (PicklistValue, PicklistValue.label))
    parts = [
        select(model.id, name).where(model.organization_id == organization_id, model.id.in_(ids))
        for model, name in columns
    ]
    return {row[0]: row[1] for row in await session.execute(union_all(*parts))}


async def titles(session: AsyncSession, organization_id: UUID, deal_ids: Collection[UUID]) -> dict[UUID, str]:
    """Titles of deals; a deleted deal has none any more."""
    if not deal_ids:
        return {}
    query = select(Deal.id, Deal.title).where(
        Deal.organization_id == organization_id, Deal.id.in_(deal_ids), Deal.deleted_at.is_(None)
    )
    return {row.id: row.title for row in await session.execute(query)}


async def events_after(session: AsyncSession, organization_id: UUID, through: datetime | None) -> int:
    """Number of the organization's events recorded after an instant (None: all)."""
    query = select(func.count()).where(EventLogRow.organization_id == organization_id)
    if through is not None:
        query = query.where(EventLogRow.recorded_at > through)
    return (await session.execute(query)).scalar_one()


async def processes(session: AsyncSession) -> list[Process]:
    """What the pipeline's processes last said of themselves; about the installation, not about a tenant."""
    return [Process(**row) for row in (await session.execute(_PROCESSES)).mappings()]


async def reconciliation(session: AsyncSession, organization_id: UUID) -> Reconciliation | None:
    """What the last comparison found of the organization; None before the first one."""
    row = (await session.execute(_RECONCILIATION, {"organization_id": organization_id})).mappings().first()
    return Reconciliation(**row) if row else None


async def has_pipeline(session: AsyncSession, organization_id: UUID, pipeline_id: UUID) -> bool:
    """Whether the organization has this pipeline now."""
    query = select(literal(1)).where(Pipeline.organization_id == organization_id, Pipeline.id == pipeline_id)
    return (await session.execute(query)).first() is not None
