"""Custom fields in exported lists: a column each, headed `custom:<name>`, as an import reads it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select

from api.db.statements import compiled
from api.exports.parts import ExportedList, major_units, unmistakable
from api.kernel.custom import FieldType
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.custom_field import CustomField
from api.models.user import User

PREFIX = "custom:"
_FIELDS = compiled(
    select(CustomField.id, CustomField.name, CustomField.type, CustomField.choices)
    .where(
        CustomField.organization_id == bindparam("organization_id"),
        CustomField.record_kind == bindparam("record_kind"),
        ~CustomField.is_retired,
    )
    .order_by(CustomField.position, CustomField.id)
)
_PEOPLE = compiled(select(User.id, User.email).where(User.organization_id == bindparam("organization_id")))


async def with_custom(unit: UnitOfWork, what: ExportedList) -> ExportedList:
    """A list with the custom fields of its records."""
    if what.noun is None:
        return what
    fields = await unit.fetch(_FIELDS, record_kind=what.noun)
    if not fields:
        return what
    by_person = any(one.type == FieldType.PERSON for one in fields)
    emails = {str(row.id): row.email for row in await unit.fetch(_PEOPLE)} if by_person else {}
    cells = {f"{PREFIX}{one.name}": _cell(str(one.id), _writer(one, emails)) for one in fields}
    return replace(what, columns=(*what.columns, *cells), computed={**what.computed, **cells})


def _cell(key: str, write: Callable[[Any], str]) -> Callable[[Row], str | None]:
    return lambda row: write(row.custom[key]) if key in row.custom else None


def _writer(field: Row, emails: Mapping[str, str]) -> Callable[[Any], str]:
    labels = {choice["id"]: choice["label"] for choice in field.choices}
    writers: Mapping[str, Callable[[Any], str]] = {
        FieldType.NUMBER: lambda value: unmistakable(f"{Decimal(str(value)):f}"),
        FieldType.MONEY: lambda value: f"{major_units(value['amount_minor'], value['currency'])} {value['currency']}",
        FieldType.CHOICE: lambda value: labels.get(value, value),
        FieldType.CHOICES: lambda value: "; ".join(labels.get(one, one) for one in value),
        FieldType.PERSON: lambda value: emails.get(value, value),
    }
    return writers.get(field.type, str)
