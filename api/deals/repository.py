"""Statements about deals. Callers pass the organization and whose deals count; row-level security stands behind both.

`owner_ids` is the set of visible owners, None for everybody's deals, the unowned ones included.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, and_, cast, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from api.deals.stage_path import StageEntry
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.organization import Organization
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from contracts.events.deals import DealClosed, DealCreated, DealReopened, DealStageChanged
from contracts.events.envelope import Envelope, Event
from contracts.events.registry import parse
from contracts.stages import StageKind

#: The events that enter a stage, `to_stage_id`.
ENTRY_TYPES = tuple(event.type for event in (DealCreated, DealStageChanged, DealClosed, DealReopened))

Owners = Collection[UUID] | None


@dataclass(frozen=True, kw_only=True)
class DealFilter:
    """Which deals a list shows."""

    pipeline_id: UUID | None = None
    stage_id: UUID | None = None
    status: StageKind | None = None
    owner_id: UUID | None = None
    company_id: UUID | None = None
    contact_id: UUID | None = None
    text: str | None = None


def visible(organization_id: UUID, owner_ids: Owners) -> list[ColumnElement[bool]]:
    """Conditions of the deals that exist and count for the caller."""
    conditions: list[ColumnElement[bool]] = [Deal.organization_id == organization_id, Deal.deleted_at.is_(None)]
    if owner_ids is not None:
        conditions.append(Deal.owner_id.in_(owner_ids))
    return conditions


def select_deals(organization_id: UUID, owner_ids: Owners, *, only: DealFilter) -> Select[Deal]:
    """The visible deals that a filter lets through."""
    query = select(Deal).where(*visible(organization_id, owner_ids))
    for name in ("pipeline_id", "stage_id", "status", "owner_id", "company_id", "contact_id"):
        wanted = getattr(only, name)
        if wanted is not None:
            query = query.where(getattr(Deal, name) == wanted)
    if only.text:
        query = query.where(Deal.title.icontains(only.text, autoescape=True))
    return query


async def get_deal(
    session: AsyncSession, organization_id: UUID, *, deal_id: UUID, owner_ids: Owners, locked: bool = False
) -> Deal | None:
    """One visible deal; locked, it is as of now and stays so until the transaction ends."""
    query = select(Deal).where(*visible(organization_id, owner_ids), Deal.id == deal_id)
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def share_stage(
    session: AsyncSession,
    organization_id: UUID,
    *,
    stage_id: UUID | None = None,
    pipeline_id: UUID | None = None,
    kind: StageKind | None = None,
) -> Stage | None:
    """A stage by id, or the first active one of a kind in a pipeline; it cannot be retired until the transaction ends.

    The lock is the one that the deal's foreign key takes anyway: movers do not wait for each other.
    """
    query = select(Stage).where(Stage.organization_id == organization_id)
    if stage_id is not None:
        query = query.where(Stage.id == stage_id)
    else:
        query = query.where(Stage.pipeline_id == pipeline_id, Stage.kind == kind, ~Stage.is_retired)
        query = query.order_by(Stage.position).limit(1)
    query = query.with_for_update(read=True, key_share=True).execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def first_stage(
    session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID, stage_id: UUID | None
) -> tuple[Stage, bool, str] | None:
    """Where a new deal of a pipeline begins: the given stage or its first open one; whether the pipeline is active,
    and the organization's currency. Neither pipeline nor stage can be retired until the transaction ends.
    """
    query = (
        select(Stage, Pipeline.is_active, Organization.currency)
        .join(Pipeline, and_(Pipeline.organization_id == Stage.organization_id, Pipeline.id == Stage.pipeline_id))
        .join(Organization, Organization.organization_id == Stage.organization_id)
        .where(Stage.organization_id == organization_id, Stage.pipeline_id == pipeline_id)
        .with_for_update(read=True, key_share=True, of=[Stage, Pipeline])
    )
    if stage_id is not None:
        query = query.where(Stage.id == stage_id)
    else:
        query = query.where(Stage.kind == StageKind.OPEN, ~Stage.is_retired).order_by(Stage.position).limit(1)
    found = (await session.execute(query)).one_or_none()
    return None if found is None else (found[0], found[1], found[2])


async def pipeline_exists(session: AsyncSession, organization_id: UUID, *, pipeline_id: UUID) -> bool:
    """Whether the organization has this pipeline."""
    query = select(Pipeline.id).where(Pipeline.organization_id == organization_id, Pipeline.id == pipeline_id)
    return (await session.execute(query)).scalar_one_or_none() is not None


async def stage_entries(session: AsyncSession, organization_id: UUID, *, deal_id: UUID) -> list[StageEntry]:
    """All entries of the deal into a stage, by the index on (organization_id, aggregate_id, aggregate_version)."""
    entered = aliased(Stage)
    to_stage_id = cast(EventLogRow.data["to_stage_id"].astext, Uuid)
    query = (
        select(EventLogRow.occurred_at, EventLogRow.aggregate_version, entered.id, entered.kind)
        .join(entered, and_(entered.organization_id == EventLogRow.organization_id, entered.id == to_stage_id))
        .where(
            EventLogRow.organization_id == organization_id,
            EventLogRow.aggregate_id == deal_id,
            EventLogRow.type.in_(ENTRY_TYPES),
        )
    )
    return [
        StageEntry(occurred_at=occurred_at, version=version, stage_id=stage_id, kind=StageKind(kind))
        for occurred_at, version, stage_id, kind in await session.execute(query)
    ]


async def events_of(
    session: AsyncSession, organization_id: UUID, *, deal_id: UUID, types: Sequence[str] | None = None
) -> list[Envelope[Event]]:
    """The deal's events in the order of their versions; all of them, or some types."""
    query = (
        select(EventLogRow)
        .where(EventLogRow.organization_id == organization_id, EventLogRow.aggregate_id == deal_id)
        .order_by(EventLogRow.aggregate_version)
    )
    if types is not None:
        query = query.where(EventLogRow.type.in_(types))
    return [_envelope(row) for row in (await session.execute(query)).scalars()]


def _envelope(row: EventLogRow) -> Envelope[Event]:
    names = [name for name in Envelope.model_fields if name != "id"]
    return parse({"id": row.event_id, **{name: getattr(row, name) for name in names}})
