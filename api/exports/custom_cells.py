"""Custom fields in exported lists: a column each, headed `custom:<name>`, as an import reads it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select

from api.db.statements import compiled
from api.exports.parts import ExportedList, major_units, unmistakable
from api.kernel import computed, custom
from api.kernel.custom import Definition, FieldType
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.user import User

PREFIX = "custom:"
_PEOPLE = compiled(select(User.id, User.email).where(User.organization_id == bindparam("organization_id")))


async def with_custom(unit: UnitOfWork, what: ExportedList) -> ExportedList:
    """A list with the custom fields of its records, computed ones too; those are in no import."""
    if what.noun is None:
        return what
    [found] = await unit.fetch_all(custom.defining(what.noun))
    fields = custom.definitions(found)
    if not fields:
        return what
    by_person = any(one.type == FieldType.PERSON for one in fields)
    emails = {str(row.id): row.email for row in await unit.fetch(_PEOPLE)} if by_person else {}
    cells = {
        f"{PREFIX}{one.name}": _cell(str(one.id), _writer(one, emails))
        if one.expression is None
        else _computed_cell(what.noun, one, fields)
        for one in fields
    }
    return replace(what, columns=(*what.columns, *cells), computed={**what.computed, **cells})


def _cell(key: str, write: Callable[[Any], str]) -> Callable[[Row], str | None]:
    return lambda row: write(row.custom[key]) if key in row.custom else None


def _computed_cell(noun: str, field: Definition, fields: Sequence[Definition]) -> Callable[[Row], str | None]:
    known = [one for one in fields if one.expression is None or one is field]

    def cell(row: Row) -> str | None:
        value = computed.values_of(noun, row._asdict(), known).get(str(field.id))
        if isinstance(value, bool):
            return "true" if value else "false"
        return _number(value) if isinstance(value, int | float) else value

    return cell


def _number(value: float) -> str:
    return unmistakable(f"{Decimal(str(value)):f}")


def _writer(field: Definition, emails: Mapping[str, str]) -> Callable[[Any], str]:
    labels = field.choices
    writers: Mapping[str, Callable[[Any], str]] = {
        FieldType.NUMBER: _number,
        FieldType.MONEY: lambda value: f"{major_units(value['amount_minor'], value['currency'])} {value['currency']}",
        FieldType.CHOICE: lambda value: labels.get(value, value),
        FieldType.CHOICES: lambda value: "; ".join(labels.get(one, one) for one in value),
        FieldType.PERSON: lambda value: emails.get(value, value),
    }
    return writers.get(field.type, str)
