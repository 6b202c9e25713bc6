"""Statements of merging: rows that refer to a record move to another one, or aside where that has their like.

Rows travel as JSON documents, as they are: what comes back is what was there.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, exists, or_, select, text

from api.db.statements import Statement, compiled, is_one_of
from api.db.values import JsonList
from api.duplicates.references import REFERENCES, Reference
from api.kernel.errors import Conflict
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.base import Base
from api.models.company import Company
from api.models.contact import Contact
from api.models.merged_record import MergedRecord


class BothHave(Conflict):
    """Both records have what only one may have, and neither can give up."""

    code = "both_in_campaign"
    detail = "Both are recipients of one campaign, where each has a path of their own. They cannot be merged."


MERGE_OF = compiled(
    select(MergedRecord.__table__)
    .where(
        MergedRecord.organization_id == bindparam("organization_id"),
        MergedRecord.merged_id == bindparam("merged_id"),
        MergedRecord.kind == bindparam("kind"),
        MergedRecord.undone_at.is_(None),
    )
    .with_for_update()
)
#: Merges into a record, or of it, after another one.
LATER = compiled(
    text("""
select merged_id from merged_records
where organization_id = :organization_id and undone_at is null and id > :merge_id
    and (survivor_id = :survivor_id or merged_id = :survivor_id)
order by id desc limit 1
""")
)
_UNIQUE_VALUES = compiled(
    text("""
delete from custom_unique_values as v where v.organization_id = :organization_id and v.record_id = :record_id
returning to_jsonb(v) as row
""")
)


@cache
def _move(reference: Reference, *, some: bool) -> Statement:
    table, column = reference.table, reference.column
    is_told = reference.told is not None
    stamped = ", version = version + 1, updated_at = now()" if is_told else ""
    only = " and x.id = any(cast(:ids as uuid[]))" if some else ""
    unless = ""
    if reference.unique and not some:
        same = " and ".join(f"y.{name} is not distinct from x.{name}" for name in reference.unique)
        unless = f""" and not exists (select from {table} as y
            where y.organization_id = x.organization_id and y.{column} = :after and {same})"""
    primary = ", is_primary = false" if table == "contact_channels" else ""
    return compiled(
        text(f"""update {table} as x set {column} = :after{stamped}{primary}
            where x.organization_id = :organization_id and x.{column} = :before{only}{unless} returning x.*""")
    )


@cache
def _take_aside(reference: Reference) -> Statement:
    return compiled(
        text(f"""delete from {reference.table} as x where x.organization_id = :organization_id
            and x.{reference.column} = :before returning to_jsonb(x) as row""")
    )


@cache
def _left(reference: Reference) -> Statement:
    return compiled(
        text(f"""select x.id from {reference.table} as x
            where x.organization_id = :organization_id and x.{reference.column} = :before limit 1""")
    )


@cache
def _whole(table: str) -> Statement:
    return compiled(
        text(f"select to_jsonb(x) as row from {table} as x where x.organization_id = :organization_id and x.id = :id")
    )


@cache
def _delete(table: str) -> Statement:
    return compiled(text(f"delete from {table} where organization_id = :organization_id and id = :id"))


@cache
def _put_back(table: str) -> Statement:
    return compiled(
        text(f"""insert into {table} select r.* from jsonb_populate_recordset(null::{table}, cast(:rows as jsonb)) as r
            where not exists (select from {table} as x where x.organization_id = r.organization_id and x.id = r.id)""")
    )


async def move_all(
    unit: UnitOfWork, kind: str, *, before: UUID, after: UUID
) -> tuple[dict[str, list[str]], dict[str, list[Any]]]:
    """Move what refers to a record to another one, with events; answers ids by table, and rows put aside."""
    moved: dict[str, list[str]] = {}
    aside: dict[str, list[Any]] = {}
    if kind == "contact":
        # as they were, for a channel forgets on its way that it was the primary one
        channels = await unit.fetch(CHANNELS, contact_id=before)
        aside["channels"] = [row.row for row in channels]
    for reference in REFERENCES[kind]:
        rows = await unit.fetch(_move(reference, some=False), before=before, after=after)
        moved[_key(reference)] = [str(row.id) for row in rows]
        _tell(unit, reference, rows)
        if reference.is_kept and await unit.fetch(_left(reference), before=before):
            raise BothHave
        if reference.unique and not reference.is_kept:
            left = await unit.fetch(_take_aside(reference), before=before)
            aside[_key(reference)] = [row.row for row in left]
    aside["custom_unique_values"] = [row.row for row in await unit.fetch(_UNIQUE_VALUES, record_id=before)]
    return moved, aside


async def move_back(unit: UnitOfWork, kind: str, *, before: UUID, after: UUID, moved: Mapping[str, Any]) -> None:
    """Move those of these rows back that still refer to the record which they came to."""
    for reference in REFERENCES[kind]:
        ids = moved.get(_key(reference), [])
        if ids and reference.table != "contact_channels":
            rows = await unit.fetch(_move(reference, some=True), before=before, after=after, ids=ids)
            _tell(unit, reference, rows)


def _key(reference: Reference) -> str:
    return f"{reference.table}.{reference.column}"


def _tell(unit: UnitOfWork, reference: Reference, rows: Sequence[Row]) -> None:
    if reference.told is None:
        return
    for row in rows:
        event = reference.told(row._asdict())
        unit.emit(event, aggregate_id=row.id, aggregate_version=row.version)


CHANNELS = compiled(
    text("""
select to_jsonb(h) as row from contact_channels as h
where h.organization_id = :organization_id and h.contact_id = :contact_id
""")
)
_LESS_PRIMARY = compiled(
    text("""
update contact_channels set is_primary = false
where organization_id = :organization_id and contact_id = :contact_id and kind = any(cast(:kinds as text[]))
""")
)
_FORGET_CHANNELS = compiled(
    text("""
delete from contact_channels where organization_id = :organization_id and contact_id = :contact_id
    and (cast(:ids as uuid[]) is null or id = any(cast(:ids as uuid[])))
""")
)


def keep_former_primary(unit: UnitOfWork, contact_id: UUID, kinds: Sequence[str]) -> None:
    """Queue that a contact's primary channels of these kinds stay, as some among others."""
    unit.execute(_LESS_PRIMARY, contact_id=contact_id, kinds=list(kinds))


def forget_channels(unit: UnitOfWork, contact_id: UUID, ids: Sequence[str] | None) -> None:
    """Queue that these channels of a contact go, or all."""
    unit.execute(_FORGET_CHANNELS, contact_id=contact_id, ids=ids)


async def whole_row(unit: UnitOfWork, model: type[Base], record_id: UUID) -> Any:  # noqa: ANN401 # JSON
    """A row as a JSON document."""
    [row] = await unit.fetch(_whole(model.__tablename__), id=record_id)
    return row.row


def delete_row(unit: UnitOfWork, model: type[Base], record_id: UUID) -> None:
    """Queue that a row goes."""
    unit.execute(_delete(model.__tablename__), id=record_id)


def put_back(unit: UnitOfWork, table: str, rows: Sequence[Any]) -> None:
    """Queue rows as they were, those that are not there."""
    if rows:
        unit.execute(_put_back(table), rows=JsonList(rows))


def _survivor_is_seen(model: type[Contact] | type[Company]) -> ColumnElement[bool]:
    return exists().where(
        model.organization_id == MergedRecord.organization_id,
        model.id == MergedRecord.survivor_id,
        is_one_of(model.owner_id, "owners"),
    )


#: Merges that stand, of records whose survivor the caller sees.
MERGES = Listing(
    select(
        MergedRecord.id,
        MergedRecord.kind,
        MergedRecord.merged_id,
        MergedRecord.merged["name"].astext.label("merged_name"),
        MergedRecord.survivor_id,
        MergedRecord.merged_by,
        MergedRecord.created_at,
    ).where(MergedRecord.organization_id == bindparam("organization_id"), MergedRecord.undone_at.is_(None)),
    filters={
        "kind": MergedRecord.kind == bindparam("kind"),
        "owners": or_(*(_survivor_is_seen(model) for model in (Contact, Company))),
    },
    order=(MergedRecord.id,),
    newest_first=True,
)
