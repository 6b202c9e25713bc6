"""Records that are part of others now: who asks for one by its id is told of the one that lives on."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import UnitOfWork

_LIVES_ON = compiled(
    text("""
with recursive chain as (
    select m.survivor_id, 1 as depth from merged_records as m
    where m.organization_id = :organization_id and m.merged_id = :record_id and m.undone_at is null
    union all
    select m.survivor_id, c.depth + 1 from chain as c join merged_records as m on m.merged_id = c.survivor_id
    where m.organization_id = :organization_id and m.undone_at is null
)
select survivor_id from chain order by depth desc limit 1
""")
)


class Merged(CrmError):
    """The record was merged into another one, which `merged_into` names."""

    status, code, title = 410, "merged", "Merged into another record"

    def __init__(self, noun: str, survivor_id: UUID) -> None:
        self.survivor_id = survivor_id
        super().__init__(f"This {noun} was merged into another one: {survivor_id}.")

    def problem(self) -> dict[str, Any]:
        """The document, with the id of the record that lives on."""
        return super().problem() | {"merged_into": str(self.survivor_id)}


async def survivor_of(unit: UnitOfWork, record_id: UUID) -> UUID | None:
    """The record that a merged one is part of, if it was merged."""
    rows = await unit.fetch(_LIVES_ON, record_id=record_id)
    return rows[0].survivor_id if rows else None
