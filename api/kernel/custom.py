"""Values of custom fields: what each type takes, how values of a record change, and what of them events may carry.

A record keeps `custom`, values by the id of their field. Rules are pure; the definitions are asked for beside whatever
else a write needs to know. A value that must be unique has a row of its own, whose index decides.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import bindparam, select, text
from uuid_utils.compat import uuid7

from api.db.statements import Bound, compiled, is_one_of
from api.kernel.errors import Conflict, Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.custom_field import CustomField, CustomUniqueValue
from api.models.user import User

_LONGEST_TEXT, _LARGEST_AMOUNT, _MOST_CHOICES = 2_000, 10**15, 50


class FieldType(StrEnum):
    """What a custom field holds."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    CHOICE = "choice"
    CHOICES = "choices"
    PERSON = "person"
    LINK = "link"
    #: Told by an expression, filled by nobody.
    COMPUTED = "computed"


class BadCustomValue(Unprocessable):
    """A custom field does not take this value."""

    code = "bad_custom_value"


class CustomValueTaken(Conflict):
    """Another record has this value, which is to be unique."""

    code, detail = "custom_value_taken", "Another record has one of these values, which are to be unique."


@dataclass(frozen=True)
class Definition:
    """A custom field as far as its values care."""

    id: UUID
    name: str
    type: FieldType
    #: Labels by their ids.
    choices: Mapping[str, str]
    is_required: bool
    is_unique: bool
    is_personal: bool
    expression: str | None = None


@dataclass(frozen=True)
class Custom:
    """The values of a record after a change, what events may say of them, and which fields changed."""

    values: dict[str, Any]
    shared: dict[str, str] = field(default_factory=dict)
    changed: tuple[Definition, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What an event says of them."""
        return {"custom": self.shared, "changed_fields": sorted(str(one.id) for one in self.changed)}


_DEFINITIONS = compiled(
    select(
        *(
            getattr(CustomField, name)
            for name in ("id", "name", "type", "choices", "is_required", "is_unique", "is_personal", "expression")
        )
    )
    .where(
        CustomField.organization_id == bindparam("organization_id"),
        CustomField.record_kind == bindparam("record_kind"),
        ~CustomField.is_retired,
    )
    .order_by(CustomField.position, CustomField.id)
)
_USERS = compiled(
    select(User.id).where(User.organization_id == bindparam("organization_id"), is_one_of(User.id, "ids"))
)
_FORGET = compiled(
    text(
        "delete from custom_unique_values where organization_id = :organization_id"
        " and record_id = :record_id and field_id = any(cast(:fields as uuid[]))"
    )
)


def defining(noun: str) -> Bound:
    """The statement that answers the definitions of a kind of records, for `fetch_all`."""
    return _DEFINITIONS.bind(record_kind=noun)


def definitions(rows: Iterable[Row]) -> list[Definition]:
    """Its answer."""
    return [
        Definition(
            row.id,
            row.name,
            FieldType(row.type),
            {choice["id"]: choice["label"] for choice in row.choices},
            row.is_required,
            row.is_unique,
            row.is_personal,
            row.expression,
        )
        for row in rows
    ]


def begin(known: Iterable[Definition], given: Mapping[str, Any] | None) -> Custom:
    """The values of a new record.

    Raises:
        BadCustomValue: a value is none of its field's, or one that is required is missing.
    """
    known = list(known)
    made = merge(known, {}, given or {})
    for one in known:
        if one.is_required and str(one.id) not in made.values:
            raise BadCustomValue(f"{one.name!r} is required.", pointer=f"/custom/{one.id}")
    return made


def merge(known: Iterable[Definition], before: Mapping[str, Any], given: Mapping[str, Any]) -> Custom:
    """The values of a record with those given; null empties a field, those left out stay.

    Raises:
        BadCustomValue: there is no such field, the value is none of its field's, or one that is required is emptied.
    """
    by_id = {str(one.id): one for one in known}
    values, changed = dict(before), []
    for key, value in given.items():
        definition = by_id.get(key)
        if definition is None:
            raise BadCustomValue("There is no such custom field.", pointer=f"/custom/{key}")
        read = _read(definition, value) if value is not None or definition.expression is not None else None
        if read is None and definition.is_required:
            raise BadCustomValue(f"{definition.name!r} is required.", pointer=f"/custom/{key}")
        if read == values.get(key):
            continue
        changed.append(definition)
        if read is None:
            values.pop(key, None)
        else:
            values[key] = read
    shared = {key: as_text(value) for key, value in values.items() if key in by_id and not by_id[key].is_personal}
    return Custom(values, shared, tuple(changed))


async def check_people(unit: UnitOfWork, custom: Custom) -> None:
    """Check that the users whom changed values name are the organization's.

    Raises:
        BadCustomValue: one is not.
    """
    named = {
        custom.values[str(one.id)]: one
        for one in custom.changed
        if one.type is FieldType.PERSON and str(one.id) in custom.values
    }
    if not named:
        return
    found = {str(row.id) for row in await unit.fetch(_USERS, ids=list(named))}
    for user_id, definition in named.items():
        if user_id not in found:
            raise BadCustomValue(f"{definition.name!r} names no user.", pointer=f"/custom/{definition.id}")


def claim(unit: UnitOfWork, noun: str, record_id: UUID, custom: Custom) -> None:
    """Queue what keeps the values unique that are to be so; a taken one is a CustomValueTaken."""
    unique = [one for one in custom.changed if one.is_unique]
    if not unique:
        return
    unit.explain({"uq_custom_unique_values_value": CustomValueTaken})
    unit.execute(_FORGET, record_id=record_id, fields=[one.id for one in unique])
    rows = [
        {"id": uuid7(), "record_kind": noun, "record_id": record_id, "field_id": one.id, "value": value.lower()}
        for one in unique
        if (value := as_text(custom.values[str(one.id)]) if str(one.id) in custom.values else None) is not None
    ]
    unit.insert(CustomUniqueValue, *rows)


def _read(definition: Definition, value: Any) -> Any:  # noqa: ANN401 # JSON
    problem = _READERS[definition.type]
    try:
        return problem(definition, value)
    except (TypeError, ValueError) as error:
        raise BadCustomValue(f"{definition.name!r} {error}", pointer=f"/custom/{definition.id}") from error


def _text(_: Definition, value: Any) -> str | None:  # noqa: ANN401 # JSON
    if not isinstance(value, str) or "\x00" in value or len(value) > _LONGEST_TEXT:
        raise ValueError(f"takes a text of at most {_LONGEST_TEXT} characters.")
    return value.strip() or None


def _number(_: Definition, value: Any) -> int | float:  # noqa: ANN401 # JSON
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("takes a number.")
    number: int | float = value
    if abs(number) > _LARGEST_AMOUNT:
        raise ValueError("takes a number that is not as large.")
    return number


def _money(_: Definition, value: Any) -> dict[str, Any]:  # noqa: ANN401 # JSON
    is_money = isinstance(value, dict) and value.keys() == {"amount_minor", "currency"}
    if not is_money or type(value["amount_minor"]) is not int or abs(value["amount_minor"]) > _LARGEST_AMOUNT:
        raise ValueError('takes {"amount_minor": …, "currency": …}, the amount in minor units.')
    currency = value["currency"]
    if not isinstance(currency, str) or len(currency) != 3 or not (currency.isascii() and currency.isupper()):
        raise ValueError("takes a currency by its ISO 4217 code.")
    return {"amount_minor": value["amount_minor"], "currency": currency}


def _date(_: Definition, value: Any) -> str:  # noqa: ANN401 # JSON
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("takes a day, for example 2026-05-01.")
    return date.fromisoformat(value).isoformat()


def _choice(definition: Definition, value: Any) -> str:  # noqa: ANN401 # JSON
    if not isinstance(value, str) or value not in definition.choices:
        raise ValueError("takes the id of one of its choices.")
    return value


def _choices(definition: Definition, value: Any) -> list[str] | None:  # noqa: ANN401 # JSON
    if not isinstance(value, list) or len(value) > _MOST_CHOICES:
        raise ValueError("takes a list of ids of its choices.")
    return sorted({_choice(definition, one) for one in value}) or None


def _person(_: Definition, value: Any) -> str:  # noqa: ANN401 # JSON
    try:
        return str(UUID(value))
    except (AttributeError, ValueError, TypeError):
        raise ValueError("takes the id of a user.") from None


def _link(definition: Definition, value: Any) -> str | None:  # noqa: ANN401 # JSON
    read = _text(definition, value)
    if read is not None and (urlsplit(read).scheme not in ("http", "https") or not urlsplit(read).hostname):
        raise ValueError("takes a web address, for example https://example.com/.")
    return read


def _computed(_: Definition, __: Any) -> None:  # noqa: ANN401 # JSON
    raise ValueError("is computed: leave it out.")


_READERS: dict[FieldType, Callable[[Definition, Any], Any]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.MONEY: _money,
    FieldType.DATE: _date,
    FieldType.CHOICE: _choice,
    FieldType.CHOICES: _choices,
    FieldType.PERSON: _person,
    FieldType.LINK: _link,
    FieldType.COMPUTED: _computed,
}


def as_text(value: Any) -> str:  # noqa: ANN401 # as it is stored
    """A value as events and the warehouse have it: one text, alike on every engine."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return f"{value['amount_minor']} {value['currency']}"
    return json.dumps(value)
