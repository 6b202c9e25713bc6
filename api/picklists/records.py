"""Statements of picklists: finding and making values, for slices whose bodies carry labels."""

from collections.abc import Iterable
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import bindparam, select, text
from uuid_utils.compat import uuid7

from api.db.statements import compiled, is_one_of
from api.kernel.listing import Listing
from api.kernel.states import columns_of
from api.kernel.unit_of_work import UnitOfWork
from api.models.picklist_value import PicklistValue
from api.picklists.rules import PicklistValue as Value

# yields no row only when another transaction makes the same value between its two looks: then look again
FIND_OR_CREATE = compiled(
    text("""
with found as (
    select id, label from picklist_values
    where organization_id = :organization_id and picklist = :picklist and lower(label) = lower(:label)
), made as (
    insert into picklist_values (organization_id, id, picklist, label)
    select :organization_id, :id, :picklist, :label where not exists (select from found)
    on conflict (organization_id, picklist, lower(label)) do nothing
    returning id, label
)
select id, label from found union all select id, label from made
""")
)
_VALUES = select(*columns_of(Value, PicklistValue)).where(PicklistValue.organization_id == bindparam("organization_id"))
ALL_VALUES = compiled(_VALUES)
_SOME_VALUES = compiled(_VALUES.where(is_one_of(PicklistValue.id, "ids")))
VALUES = Listing(
    _VALUES, filters={"picklist": PicklistValue.picklist == bindparam("picklist")}, order=(PicklistValue.id,)
)


async def find_or_create(unit: UnitOfWork, picklist: str, label: str) -> UUID:
    """Id of the value with this label, whatever its case; made when it is new."""
    while True:
        found = await unit.fetch(FIND_OR_CREATE, id=uuid7(), picklist=picklist, label=label)
        if found:
            made: UUID = found[0].id
            return made


def add_values(unit: UnitOfWork, values: Iterable[Value]) -> None:
    """Queue new values."""
    unit.insert(PicklistValue, *(asdict(value) for value in values))


async def labels(unit: UnitOfWork, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Labels of these values; ids of other organizations and None are left out."""
    wanted = {value_id for value_id in ids if value_id is not None}
    return {row.id: row.label for row in await unit.fetch(_SOME_VALUES, ids=list(wanted))} if wanted else {}
