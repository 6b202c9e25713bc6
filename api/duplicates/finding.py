"""Duplicates as they stand: what is the same beyond doubt by indexes and groups, what looks alike by blocks.

Both look at the records that the caller sees. What looks alike is asked for among the newest records, as many as one
request may compare.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.duplicates.rules import Candidate, alike
from api.kernel.errors import NotFound
from api.kernel.records import Owners
from api.kernel.unit_of_work import Row, UnitOfWork

#: How many of the newest records are compared by likeness.
COMPARED = 5_000

_SEEN = "(cast(:owners as uuid[]) is null or {0}.owner_id = any(:owners))"
_SHOWN = """a.id as left_id, a.name as left_name, {left} as left_detail,
    b.id as right_id, b.name as right_name, {right} as right_detail"""


def _pair(left: str, right: str) -> str:
    return _SHOWN.format(left=left, right=right)


_CONTACT = _pair("coalesce(a.email, a.phone)", "coalesce(b.email, b.phone)")
_COMPANY = _pair("a.domain", "b.domain")
_BOTH_SEEN = f"""{_SEEN.format("a")} and {_SEEN.format("b")}
    and not exists (select from distinct_pairs as d where d.organization_id = :organization_id
        and d.kind = '{{0}}' and d.first_id = least(a.id, b.id) and d.second_id = greatest(a.id, b.id))"""

_SAME = {
    "contact": f"""
with shared as (
    select h.kind, h.key, min(h.contact_id::text)::uuid as first from contact_channels as h
    where h.organization_id = :organization_id group by h.kind, h.key having count(*) > 1
), named as (
    select lower(c.name) as name, c.company_id, min(c.id::text)::uuid as first from contacts as c
    where c.organization_id = :organization_id and c.company_id is not null
    group by lower(c.name), c.company_id having count(*) > 1
), pairs as (
    select distinct on (left_id, right_id) * from (
        select s.first as left_id, h.contact_id as right_id, 'same_' || s.kind as reason, 1.0 as score
        from shared as s join contact_channels as h
            on h.organization_id = :organization_id and h.kind = s.kind and h.key = s.key and h.contact_id <> s.first
        union all
        select n.first, c.id, 'same_name_and_company', 0.95
        from named as n join contacts as c
            on c.organization_id = :organization_id and lower(c.name) = n.name and c.company_id = n.company_id
                and c.id <> n.first
    ) as every order by left_id, right_id, score desc
)
select p.reason, p.score, {_CONTACT} from pairs as p
join contacts as a on a.organization_id = :organization_id and a.id = p.left_id
join contacts as b on b.organization_id = :organization_id and b.id = p.right_id
where {_BOTH_SEEN.format("contact")}
order by p.score desc, p.left_id desc, p.right_id desc limit :row_limit""",
    "company": f"""
with known as (
    select c.id, lower(c.name) as name, nullif(regexp_replace(lower(c.domain), '^www[.]', ''), '') as domain
    from companies as c where c.organization_id = :organization_id
), pairs as (
    select distinct on (left_id, right_id) * from (
        select g.first as left_id, k.id as right_id, 'same_domain' as reason, 1.0 as score
        from (select domain, min(id::text)::uuid as first from known where domain is not null
            group by domain having count(*) > 1) as g join known as k on k.domain = g.domain and k.id <> g.first
        union all
        select g.first, k.id, 'same_name', 0.95
        from (select name, min(id::text)::uuid as first from known group by name having count(*) > 1) as g
        join known as k on k.name = g.name and k.id <> g.first
    ) as every order by left_id, right_id, score desc
)
select p.reason, p.score, {_COMPANY} from pairs as p
join companies as a on a.organization_id = :organization_id and a.id = p.left_id
join companies as b on b.organization_id = :organization_id and b.id = p.right_id
where {_BOTH_SEEN.format("company")}
order by p.score desc, p.left_id desc, p.right_id desc limit :row_limit""",
}
_NEWEST = {
    "contact": f"""
select a.id, a.name, coalesce(a.email, a.phone) as detail,
    concat_ws(' ', split_part(a.email, '@', 1), c.name) as beside
from contacts as a left join companies as c on c.organization_id = a.organization_id and c.id = a.company_id
where a.organization_id = :organization_id and {_SEEN.format("a")} order by a.id desc limit :row_limit""",
    "company": f"""
select a.id, a.name, a.domain as detail, split_part(a.domain, '.', 1) as beside from companies as a
where a.organization_id = :organization_id and {_SEEN.format("a")} order by a.id desc limit :row_limit""",
}
_SAME_OF = {kind: compiled(text(query), is_prepared=False) for kind, query in _SAME.items()}
_NEWEST_OF = {kind: compiled(text(query)) for kind, query in _NEWEST.items()}
_TOLD_APART = compiled(
    text("""
select first_id, second_id from distinct_pairs where organization_id = :organization_id and kind = :kind
""")
)
_DISTINCT = {
    kind: compiled(
        text(f"""
select p.created_at, 'told_apart' as reason, 1.0 as score, {shown} from distinct_pairs as p
join {table} as a on a.organization_id = :organization_id and a.id = p.first_id
join {table} as b on b.organization_id = :organization_id and b.id = p.second_id
where p.organization_id = :organization_id and p.kind = '{kind}' and {_SEEN.format("a")} and {_SEEN.format("b")}
order by p.id desc limit :row_limit
""")
    )
    for kind, table, shown in (("contact", "contacts", _CONTACT), ("company", "companies", _COMPANY))
}
_EXIST = {
    kind: compiled(
        text(f"""
select count(*) as number from {table} as a
where a.organization_id = :organization_id and a.id = any(:ids) and {_SEEN.format("a")}
""")
    )
    for kind, table in (("contact", "contacts"), ("company", "companies"))
}
_TELL_APART = compiled(
    text("""
insert into distinct_pairs (organization_id, id, kind, first_id, second_id)
values (:organization_id, uuidv7(), :kind, :first_id, :second_id) on conflict do nothing
""")
)
_ASK_AGAIN = compiled(
    text("""
delete from distinct_pairs where organization_id = :organization_id and kind = :kind
    and first_id = :first_id and second_id = :second_id
""")
)


async def same(unit: UnitOfWork, kind: str, *, owners: Owners, limit: int) -> list[dict[str, Any]]:
    """Pairs that share what only one record should have, the surest first."""
    found = await unit.fetch(_SAME_OF[kind], owners=_listed(owners), row_limit=limit)
    return [_shown(row.reason, float(row.score), _side(row, "left"), _side(row, "right")) for row in found]


async def similar(unit: UnitOfWork, kind: str, *, owners: Owners, limit: int) -> list[dict[str, Any]]:
    """Pairs among the newest records that look alike: suggestions."""
    found = await unit.fetch(_NEWEST_OF[kind], owners=_listed(owners), row_limit=COMPARED)
    by_id = {row.id: row for row in found}
    candidates = [Candidate(row.id, row.name, row.beside or "") for row in found]
    told_apart = {(row.first_id, row.second_id) for row in await unit.fetch(_TOLD_APART, kind=kind)}
    pairs = await asyncio.to_thread(alike, candidates)
    asked = [pair for pair in pairs if _ordered(pair.left, pair.right) not in told_apart]
    return [
        _shown("looks_alike", pair.score, _record(by_id[pair.left]), _record(by_id[pair.right]))
        for pair in asked[:limit]
    ]


async def distinct(unit: UnitOfWork, kind: str, *, owners: Owners, limit: int) -> list[dict[str, Any]]:
    """Pairs that somebody told apart, the newest first."""
    found = await unit.fetch(_DISTINCT[kind], owners=_listed(owners), row_limit=limit)
    return [_shown(row.reason, float(row.score), _side(row, "left"), _side(row, "right")) for row in found]


async def tell_apart(unit: UnitOfWork, kind: str, ids: Sequence[UUID], *, owners: Owners, are_distinct: bool) -> None:
    """Ask nobody about a pair again, or do so once more.

    Raises:
        NotFound: the caller does not see both.
    """
    first, second = _ordered(*ids)
    [found] = await unit.fetch(_EXIST[kind], ids=[first, second], owners=_listed(owners))
    if first == second or found.number != len(ids):
        raise NotFound
    unit.execute(_TELL_APART if are_distinct else _ASK_AGAIN, kind=kind, first_id=first, second_id=second)


def _ordered(left: UUID, right: UUID) -> tuple[UUID, UUID]:
    return (left, right) if left < right else (right, left)


def _listed(owners: Owners) -> Sequence[UUID] | None:
    return None if owners is None else list(owners)


def _side(row: Row, side: str) -> dict[str, Any]:
    return {name: getattr(row, f"{side}_{name}") for name in ("id", "name", "detail")}


def _record(row: Row) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "detail": row.detail}


def _shown(reason: str, score: float, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {"reason": reason, "score": score, "records": [left, right]}
