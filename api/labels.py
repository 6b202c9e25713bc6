"""Picklist values by label, as bodies give them and answers show them; events and rows carry the id."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.context import Context
from api.models.picklist_value import PicklistValue


async def value_id_of(session: AsyncSession, context: Context, *, picklist: str, label: str | None) -> UUID | None:
    """Id of the value with this label in any case, made if the picklist lacks it; None for no label."""
    if label is None:
        return None
    query = _find(context.organization_id, picklist, label)
    found = (await session.execute(query)).scalar_one_or_none()
    if found is not None:
        return found
    made = await session.execute(
        insert(PicklistValue)
        .values(organization_id=context.organization_id, id=uuid7(), picklist=picklist, label=label)
        .on_conflict_do_nothing()
        .returning(PicklistValue.id)
    )
    # nothing made: another transaction was quicker, and its value is visible by now
    return made.scalar_one_or_none() or (await session.execute(query)).scalar_one()


async def labels_of(session: AsyncSession, organization_id: UUID, *, ids: Collection[UUID]) -> dict[UUID, str]:
    """Labels of these values; asks nothing for none."""
    if not ids:
        return {}
    query = select(PicklistValue.id, PicklistValue.label).where(
        PicklistValue.organization_id == organization_id, PicklistValue.id.in_(ids)
    )
    return {row.id: row.label for row in await session.execute(query)}


def _find(organization_id: UUID, picklist: str, label: str) -> Select[UUID]:
    return select(PicklistValue.id).where(
        PicklistValue.organization_id == organization_id,
        PicklistValue.picklist == picklist,
        func.lower(PicklistValue.label) == func.lower(label),
    )
