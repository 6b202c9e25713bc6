"""What a task, an activity or a file is about: a deal, a contact, a company, or several of them.

Whoever links something must see it; another tenant's id is like one that never was.
"""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.constraints import UnknownReference
from api.kernel.unit_of_work import UnitOfWork

#: Columns that link to a record -> what that is called.
LINKED = {"deal_id": "deal", "contact_id": "contact", "company_id": "company"}
_TABLES = {"deal_id": "deals", "contact_id": "contacts", "company_id": "companies"}


class Links(NamedTuple):
    """The records that something is about."""

    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None


def _is_seen(column: str, table: str) -> str:
    alive = " and deleted_at is null" if table == "deals" else ""
    return f"""(cast(:{column} as uuid) is null or exists (
        select from {table} where organization_id = :organization_id and id = :{column}{alive}
            and (cast(:owners as uuid[]) is null or owner_id = any(:owners))
    )) as {column}"""


_ARE_SEEN = compiled(text("select " + ", ".join(_is_seen(*one) for one in _TABLES.items())))


_REQUIRE_SHOWN = compiled(
    text("select require_shown(:table_name, :organization_id, cast(:contact_id as uuid), cast(:company_id as uuid))")
)


def require_shown(
    unit: UnitOfWork, table: str, *, contact_id: UUID | None = None, company_id: UUID | None = None
) -> None:
    """Queue what refuses a contact or company that lies in the bin, in the name of the table's foreign key to it."""
    if contact_id is not None or company_id is not None:
        unit.execute(_REQUIRE_SHOWN, table_name=table, contact_id=contact_id, company_id=company_id)


async def check_links(unit: UnitOfWork, links: Links, *, owners: Collection[UUID] | None) -> None:
    """Check that the records are there, and among those of the owners whom the caller sees.

    Raises:
        UnknownReference: one is not.
    """
    if links == Links():
        return
    seen = None if owners is None else list(owners)
    [found] = await unit.fetch(_ARE_SEEN, **links._asdict(), owners=seen)
    for column, noun in LINKED.items():
        if not getattr(found, column):
            raise UnknownReference(column, noun)
