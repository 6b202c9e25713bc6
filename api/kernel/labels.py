"""Values of picklists by their label: bodies and rows carry labels, tables and events the ids of values."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import bindparam, select, text
from uuid_utils.compat import uuid7

from api.db.statements import Bound, compiled, is_one_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.picklist_value import PicklistValue

# yields no row only when another transaction makes the same value between its two looks: then look again
_FIND_OR_CREATE = compiled(
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
_SOME = compiled(
    select(PicklistValue.id, PicklistValue.label).where(
        PicklistValue.organization_id == bindparam("organization_id"), is_one_of(PicklistValue.id, "ids")
    )
)


def finding_or_creating(picklist: str, label: str) -> Bound:
    """The statement that answers a value's `id` and `label`, whatever the case of the label; made when it is new.

    For `fetch_all` beside other statements. Where it answers nothing, `find_or_create` does.
    """
    return _FIND_OR_CREATE.bind(id=uuid7(), picklist=picklist, label=label)


async def find_or_create(unit: UnitOfWork, picklist: str, label: str) -> Row:
    """The value with this label: its `id` and `label`."""
    while True:
        [found] = await unit.fetch_all(finding_or_creating(picklist, label))
        if found:
            return found[0]


async def labels(unit: UnitOfWork, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Labels of these values; ids of other organizations and None are left out."""
    wanted = {value_id for value_id in ids if value_id is not None}
    return {row.id: row.label for row in await unit.fetch(_SOME, ids=wanted)} if wanted else {}
