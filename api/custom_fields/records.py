"""Statements about custom fields."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, bindparam, select, text

from api.custom_fields.rules import Change, CustomField, CustomFieldNameTaken, computing_anew
from api.db.statements import compiled
from api.kernel import computed, custom
from api.kernel.computing import begin
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.custom_field import CustomField as CustomFieldRow
from api.models.rule import Rule as RuleRow

_HOLD = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('custom_fields:' || cast(:organization_id as text), 0))")
)
_fields = rows_of(CustomField, CustomFieldRow)
_FIELD = compiled(_fields.where(CustomFieldRow.id == bindparam("field_id")))
_PRESENT = compiled(_fields.where(CustomFieldRow.record_kind == bindparam("record_kind"), ~CustomFieldRow.is_retired))
_CONDITIONS = compiled(
    select(RuleRow.name, RuleRow.document["when"].astext.label("condition")).where(
        RuleRow.organization_id == bindparam("organization_id"),
        RuleRow.deleted_at.is_(None),
        RuleRow.mode != "off",
        RuleRow.document["when"].astext.contains("custom"),
    )
)
_shown = _fields.add_columns(
    *(getattr(CustomFieldRow, name) for name in ("computing_since", "computing_done", "computing_total"))
)
_SHOWN = compiled(_shown.where(CustomFieldRow.id == bindparam("field_id")))
#: Custom fields as they are shown, oldest first.
FIELDS = Listing(
    _shown,
    filters={
        "record_kind": CustomFieldRow.record_kind == bindparam("record_kind"),
        "is_retired": CustomFieldRow.is_retired == bindparam("is_retired", type_=Boolean),
    },
    order=(CustomFieldRow.id,),
)


async def find_field(unit: UnitOfWork, field_id: UUID) -> CustomField:
    """One custom field.

    Raises:
        NotFound: no such field here.
    """
    return only(CustomField, await unit.fetch(_FIELD, field_id=field_id), "custom field")


async def read_field(unit: UnitOfWork, field_id: UUID) -> dict[str, Any]:
    """One custom field as it is shown.

    Raises:
        NotFound: no such field here.
    """
    rows = await unit.fetch(_SHOWN, field_id=field_id)
    if not rows:
        raise NotFound("custom field")
    return (await as_shown(unit, rows))[0]


async def as_shown(unit: UnitOfWork, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Custom fields with what values of computed ones are, and how far records are computed anew."""
    nouns = sorted({row.record_kind for row in rows if row.expression is not None and not row.is_retired})
    found = await unit.fetch_all(*(custom.defining(noun) for noun in nouns)) if nouns else []
    known = {noun: custom.definitions(of_noun) for noun, of_noun in zip(nouns, found, strict=True)}
    kinds = {
        one.id: computed.kind_of(noun, one, fields)
        for noun, fields in known.items()
        for one in fields
        if one.expression is not None
    }
    return [
        {
            **row._asdict(),
            "value_kind": kinds.get(row.id),
            "computing": None
            if row.computing_since is None
            else {"done": row.computing_done, "total": row.computing_total},
        }
        for row in rows
    ]


async def conditions(unit: UnitOfWork) -> dict[str, str]:
    """The conditions of the rules that run and speak of custom fields, by the rules' names."""
    return {row.name: row.condition for row in await unit.fetch(_CONDITIONS)}


async def hold_fields(unit: UnitOfWork, record_kind: str) -> list[CustomField]:
    """The fields of a kind of records; nobody else changes any until the transaction ends."""
    _, found = await unit.fetch_all(_HOLD.bind(), _PRESENT.bind(record_kind=record_kind))
    return as_states(CustomField, found)


def write(unit: UnitOfWork, change: Change, known: Sequence[CustomField]) -> None:
    """Queue what was decided, and that records are computed anew where they are to be."""
    unit.explain({"uq_custom_fields_name": CustomFieldNameTaken})
    write_changes(unit, [change], {CustomField: CustomFieldRow})
    field = computing_anew(change, known)
    if field is not None:
        begin(unit, field.id)
