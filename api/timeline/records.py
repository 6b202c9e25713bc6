"""The statement of a timeline: the newest rows of each source, put together, in keyset order.

A contact's timeline also has what is about its deals, a company's what is about its deals and contacts, as far as the
caller sees those.
"""

from collections.abc import Collection
from functools import cache
from uuid import UUID

from sqlalchemy import text

from api.db.statements import Statement, compiled
from api.edge.pages import Pagination
from api.kernel.timelines import SOURCES, Source
from api.kernel.unit_of_work import Row, UnitOfWork

CHANGE = "change"
_IS_OWNED = "(cast(:owners as uuid[]) is null or r.owner_id = any(:owners))"
#: Kind of record -> through which records of another kind something is about it.
_THROUGH: dict[str, dict[str, str]] = {
    "deal": {},
    "contact": {"deals": "deal_id"},
    "company": {"deals": "deal_id", "contacts": "contact_id"},
}


def kinds() -> dict[str, str | None]:
    """The kinds of items that there are, and the scope that a key needs for each; a change is of the record itself."""
    return {kind: source.scope for source in SOURCES for kind in source.kinds} | {CHANGE: None}


async def read_timeline(
    unit: UnitOfWork,
    noun: str,
    record_id: UUID,
    *,
    owners: Collection[UUID] | None,
    only: Collection[str] | None,
    page: Pagination,
) -> tuple[list[Row], str | None]:
    """A page of a record's timeline, and the next page's cursor. The caller sees the record."""
    place = {"after_at": page.after[0], "after_id": page.after[1]} if page.after else {}
    statement = _statement(noun, has_kinds=only is not None, is_later_page=page.after is not None)
    values: dict[str, object] = {"record_id": record_id, **place}
    if only is not None:
        values["kinds"] = list(only)
    if _THROUGH[noun] or any(source.owner for source in SOURCES):
        values["owners"] = None if owners is None else list(owners)
    rows = await unit.fetch(statement, **values, row_limit=page.limit + 1)
    if len(rows) <= page.limit:
        return rows, None
    rows.pop()
    return rows, page.cursor([rows[-1].at, rows[-1].id])


@cache
def _statement(noun: str, *, has_kinds: bool, is_later_page: bool) -> Statement:
    branches = [_changes(noun)]
    for source in SOURCES:
        branches.append(_items(source, f"x.{noun}_id = :record_id"))
        for table, column in _THROUGH[noun].items():
            branches.append(_items(source, _is_through(noun, table, column)))
    conditions = ["kind = any(:kinds)"] if has_kinds else []
    if is_later_page:
        conditions.append("(at, id) < (cast(:after_at as timestamptz), cast(:after_id as uuid))")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    newest = "order by at desc, id desc limit :row_limit"
    parts = " union all ".join(f"(select * from ({branch}) as s {where} {newest})" for branch in branches)
    together = f"select distinct on (at, id) * from ({parts}) as t {newest}"
    return compiled(text(together))


def _items(source: Source, is_about: str) -> str:
    where = source.where
    if source.owner:
        where += f" and (cast(:owners as uuid[]) is null or {source.owner} = any(:owners))"
    return f"""select {source.at} as at, x.id, {source.kind} as kind, {source.type} as type, {source.actor} as actor_id,
        x.deal_id, x.contact_id, x.company_id, {source.data} as data
        from {source.table} as x where x.organization_id = :organization_id and {is_about} and {where}"""


def _is_through(noun: str, table: str, column: str) -> str:
    alive = " and r.deleted_at is null" if table == "deals" else ""
    return f"""x.{column} in (select r.id from {table} as r
        where r.organization_id = :organization_id and r.{noun}_id = :record_id and {_IS_OWNED}{alive})"""


def _changes(noun: str) -> str:
    about = ", ".join(
        f"{'x.aggregate_id' if noun == one else 'cast(null as uuid)'} as {one}_id"
        for one in ("deal", "contact", "company")
    )
    return f"""select x.occurred_at as at, x.event_id as id, '{CHANGE}' as kind, x.type,
        case when x.actor = 'user' then x.actor_id end as actor_id, {about}, x.data
        from event_log as x where x.organization_id = :organization_id
            and x.aggregate_id = :record_id and x.aggregate_type = '{noun}'"""
