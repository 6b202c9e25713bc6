"""The statement of the search.

`find_documents` looks for everybody, as a role that may read nothing but documents: in the organization of the
transaction, and no other. What it answers are ids; what they stand for is read here, under row-level security.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import Row, UnitOfWork

#: What can be found.
KINDS = ("contact", "company", "deal")

_SEARCH = compiled(
    text("""
select d.kind, d.id, d.title, d.detail, f.score
from find_documents(:q, cast(:kinds as text[]), cast(:owners as uuid[]), :row_limit) as f
join search_documents as d on d.organization_id = :organization_id and d.id = f.id
order by f.score desc, length(d.title), d.id desc
""")
)


async def search(
    unit: UnitOfWork, q: str, *, only: Collection[str], owners: Collection[UUID] | None, limit: int
) -> list[Row]:
    """The records that are most like what was asked for, the best first."""
    seen = None if owners is None else list(owners)
    return await unit.fetch(_SEARCH, q=q, kinds=list(only), owners=seen, row_limit=limit)
