"""Tags: words that an organization puts on records. A tag is made where it is first put, and known in any case."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import ColumnElement, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.db.values import JsonList
from api.kernel.unit_of_work import UnitOfWork
from api.models.tag import RecordTag, Tag

_CLEAR = compiled(
    text(
        "delete from record_tags where organization_id = :organization_id and record_kind = :record_kind"
        " and record_id = :record_id"
    )
)
_OF_MANY = compiled(
    text("""
select r.record_id, jsonb_agg(t.name order by lower(t.name)) as names
from record_tags as r join tags as t on t.organization_id = r.organization_id and t.id = r.tag_id
where r.organization_id = :organization_id and r.record_kind = :record_kind
    and r.record_id = any(cast(:record_ids as uuid[]))
group by r.record_id
"""),
    is_prepared=False,
)
_PUT = compiled(
    text("""
with wanted as (
    select * from jsonb_to_recordset(cast(:wanted as jsonb)) as w (tag_id uuid, id uuid, name text)
), made as (
    insert into tags (organization_id, id, name)
    select cast(:organization_id as uuid), tag_id, name from wanted order by lower(name)
    on conflict (organization_id, lower(name)) do update set name = tags.name
    returning id, name
)
insert into record_tags (organization_id, id, record_kind, record_id, tag_id)
select cast(:organization_id as uuid), wanted.id, :record_kind, cast(:record_id as uuid), made.id
from wanted join made on lower(made.name) = lower(wanted.name)
""")
)


def _each_once(names: list[str]) -> list[str]:
    return sorted({name.lower(): name for name in reversed(names)}.values(), key=str.lower)


_Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\s\x00](?:[^\x00-\x1f]*[^\s\x00])?$")]
#: The tags of a body: all of a record's, each once in any case, in order.
Tags = Annotated[
    list[_Name],
    Field(max_length=50, description="All its tags; those left out are taken off. New ones are made."),
    AfterValidator(_each_once),
]


def tags_of(noun: str, organization_id: Any, record_id: Any) -> ColumnElement[Any]:  # noqa: ANN401 # columns
    """The names of a record's tags as a JSON list in order, for its statement and for filters."""
    names = func.jsonb_agg(aggregate_order_by(Tag.name, func.lower(Tag.name)), type_=JSONB)
    return (
        select(func.coalesce(names, literal_column("'[]'::jsonb", JSONB), type_=JSONB))
        .join(RecordTag, (RecordTag.organization_id == Tag.organization_id) & (RecordTag.tag_id == Tag.id))
        .where(
            RecordTag.organization_id == organization_id,
            RecordTag.record_kind == noun,
            RecordTag.record_id == record_id,
        )
        .scalar_subquery()
    )


async def tags_of_many(unit: UnitOfWork, noun: str, record_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The tags of those of these records that have some."""
    rows = await unit.fetch(_OF_MANY, record_kind=noun, record_ids=list(record_ids)) if record_ids else []
    return {row.record_id: row.names for row in rows}


def put_on(unit: UnitOfWork, noun: str, record_id: UUID, names: Sequence[str]) -> None:
    """Queue that a record, which the caller holds or just made, has these tags and no others."""
    unit.execute(_CLEAR, record_kind=noun, record_id=record_id)
    if names:
        wanted = JsonList({"tag_id": uuid7(), "id": uuid7(), "name": name} for name in names)
        unit.execute(_PUT, record_kind=noun, record_id=record_id, wanted=wanted)


def are_other(before: Sequence[str], names: Sequence[str]) -> bool:
    """Whether these tags are others, in any case, than those before."""
    return [one.lower() for one in before] != [one.lower() for one in names]
