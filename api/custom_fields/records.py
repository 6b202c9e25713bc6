"""Statements about custom fields."""

from uuid import UUID

from sqlalchemy import Boolean, bindparam, text

from api.custom_fields.rules import Change, CustomField, CustomFieldNameTaken
from api.db.statements import compiled
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.custom_field import CustomField as CustomFieldRow

_HOLD = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('custom_fields:' || cast(:organization_id as text), 0))")
)
_fields = rows_of(CustomField, CustomFieldRow)
_FIELD = compiled(_fields.where(CustomFieldRow.id == bindparam("field_id")))
_PRESENT = compiled(_fields.where(CustomFieldRow.record_kind == bindparam("record_kind"), ~CustomFieldRow.is_retired))
#: Custom fields, oldest first.
FIELDS = Listing(
    _fields,
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


async def hold_fields(unit: UnitOfWork, record_kind: str) -> list[CustomField]:
    """The fields of a kind of records; nobody else changes any until the transaction ends."""
    _, found = await unit.fetch_all(_HOLD.bind(), _PRESENT.bind(record_kind=record_kind))
    return as_states(CustomField, found)


def write(unit: UnitOfWork, change: Change) -> None:
    """Queue what was decided."""
    unit.explain({"uq_custom_fields_name": CustomFieldNameTaken})
    write_changes(unit, [change], {CustomField: CustomFieldRow})
