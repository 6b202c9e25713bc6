"""Finding and making values of picklists, for slices whose bodies carry labels."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.kernel.context import Context
from api.models.picklist_value import PicklistValue
from api.picklists.rules import Picklist

__all__ = ["Picklist", "find_or_create", "labels"]

# yields no row only when another transaction makes the same value between its two looks: then look again
_FIND_OR_CREATE = text("""
with found as (
    select id from picklist_values
    where organization_id = :organization_id and picklist = :picklist and lower(label) = lower(:label)
), made as (
    insert into picklist_values (organization_id, id, picklist, label)
    select :organization_id, :id, :picklist, :label where not exists (select from found)
    on conflict (organization_id, picklist, lower(label)) do nothing
    returning id
)
select id from found union all select id from made
""")


async def find_or_create(session: AsyncSession, context: Context, *, picklist: str, label: str) -> UUID:
    """Id of the value with this label, whatever its case; made when it is new."""
    values = {"organization_id": context.organization_id, "id": uuid7(), "picklist": picklist, "label": label}
    while True:
        found: UUID | None = (await session.execute(_FIND_OR_CREATE, values)).scalar_one_or_none()
        if found is not None:
            return found


async def labels(session: AsyncSession, *, organization_id: UUID, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Labels of these values; ids of other organizations and None are left out."""
    wanted = {value_id for value_id in ids if value_id is not None}
    if not wanted:
        return {}
    query = select(PicklistValue.id, PicklistValue.label).where(
        PicklistValue.organization_id == organization_id, PicklistValue.id.in_(wanted)
    )
    return {row.id: row.label for row in await session.execute(query)}
