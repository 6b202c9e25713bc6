"""The filter language of lists: JSON, a list of conditions `[field, operator, value]` that must all hold, and a sort.

    [["amount_minor", ">=", 100000], ["custom.0192…", "=", "…"], ["name", "contains", "acme"]]

`=`, `!=` and `in` compare, texts in any case; `<`, `<=`, `>`, `>=` order numbers, days, instants and texts; `contains`
looks for a part of a text, or for a choice among several; `empty` asks whether there is a value. A sort is a field,
`-` before it for the other way round; what has no value comes first, or last. Pure: it composes SQL, values are bound.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    Uuid,
    case,
    func,
    literal,
    or_,
    tuple_,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from api.db.statements import as_pattern
from api.db.values import JsonList
from api.kernel.computed import ValueKind, kind_of
from api.kernel.custom import Definition, FieldType
from api.kernel.errors import Unprocessable
from api.models.base import Base

CUSTOM = "custom."
_MOST_CONDITIONS, _MOST_VALUES, _LONGEST_TEXT = 20, 100, 2_000
#: Not asked for: whose row it is, and what has fields of its own.
_HIDDEN = {"organization_id", "custom", "computed_version", "deleted_at", "binned"}


class BadFilter(Unprocessable):
    """A filter or a sort that this list cannot follow."""

    code = "bad_filter"


class Kind(StrEnum):
    """What a field holds, as far as comparing goes."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    INSTANT = "instant"
    ID = "id"
    LIST = "list"
    FLAG = "flag"


@dataclass(frozen=True)
class Field:
    """A field that a list can be narrowed and sorted by."""

    expression: Any
    kind: Kind


Column = ColumnElement[Any] | InstrumentedAttribute[Any]
#: The columns of custom values, those that people fill and those that are computed.
Values = tuple[ColumnElement[Any], ColumnElement[Any]]
Fields = Mapping[str, Field]

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: Text(),
    Kind.NUMBER: Numeric(),
    Kind.DATE: Date(),
    Kind.INSTANT: DateTime(timezone=True),
    Kind.ID: Uuid(),
    Kind.LIST: JSONB(),
    Kind.FLAG: Text(),
}
_OPERATORS: dict[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({"=", "!=", "in", "<", "<=", ">", ">=", "contains", "empty"}),
    Kind.NUMBER: frozenset({"=", "!=", "in", "<", "<=", ">", ">=", "empty"}),
    Kind.DATE: frozenset({"=", "!=", "in", "<", "<=", ">", ">=", "empty"}),
    Kind.INSTANT: frozenset({"<", "<=", ">", ">=", "empty"}),
    Kind.ID: frozenset({"=", "!=", "in", "empty"}),
    Kind.LIST: frozenset({"contains", "empty"}),
    Kind.FLAG: frozenset({"=", "!=", "empty"}),
}
_KIND_OF_CUSTOM = {
    FieldType.TEXT: Kind.TEXT,
    FieldType.LINK: Kind.TEXT,
    FieldType.CHOICE: Kind.TEXT,
    FieldType.PERSON: Kind.TEXT,
    FieldType.NUMBER: Kind.NUMBER,
    FieldType.MONEY: Kind.NUMBER,
    FieldType.DATE: Kind.DATE,
    FieldType.CHOICES: Kind.LIST,
}
_KIND_OF_COMPUTED = {
    ValueKind.TEXT: Kind.TEXT,
    ValueKind.NUMBER: Kind.NUMBER,
    ValueKind.FLAG: Kind.FLAG,
    ValueKind.INSTANT: Kind.INSTANT,
}
#: As values of these kinds are kept in JSON. A field that is computed otherwise now may have others for a while.
_WRITTEN_AS = {Kind.NUMBER: "number", Kind.FLAG: "boolean"}
_WRITTEN_LIKE = {Kind.INSTANT: r"^\d{4}-\d\d-\d\dT"}
#: What stands for no value in a sort: less than any value.
_LEAST: dict[Kind, Any] = {
    Kind.TEXT: "",
    Kind.NUMBER: "-1e30",
    Kind.DATE: "-infinity",
    Kind.INSTANT: "-infinity",
    Kind.FLAG: "",
}


@dataclass(frozen=True)
class Wish:
    """What a caller asked for, as it was read: conditions, and a field to sort by."""

    conditions: tuple[tuple[str, str, Any], ...] = ()
    sort: str | None = None

    @property
    def names(self) -> list[str]:
        """The fields that it speaks of."""
        return [name for name, _, _ in self.conditions] + ([self.sort.removeprefix("-")] if self.sort else [])

    @property
    def needs_custom(self) -> bool:
        """Whether it speaks of custom fields."""
        return any(name.startswith(CUSTOM) for name in self.names)


@dataclass(frozen=True)
class Ask:
    """The same as SQL."""

    conditions: tuple[ColumnElement[bool], ...] = ()
    sort: ColumnElement[Any] | None = None
    is_descending: bool = False

    def narrow(self, query: Select[Any], key: Column, *, after: Sequence[object] | None, limit: int) -> Select[Any]:
        """A page of a query whose rows are told apart by `key`. Where it is sorted, `sort_key` is the sort's text."""
        query = query.where(*self.conditions)
        order: list[Any]
        place: list[Any]
        if self.sort is None:
            order = [key]
            place = [literal(after[0], key.type)] if after else []
        else:
            order = [self.sort, key]
            query = query.add_columns(sql_cast(self.sort, Text).label("sort_key"))
            place = [sql_cast(literal(after[0], Text()), self.sort.type), literal(after[1], key.type)] if after else []
        is_descending = self.is_descending or self.sort is None
        if place:
            here, there = tuple_(*order), tuple_(*place)
            query = query.where(here < there if is_descending else here > there)
        return query.order_by(*(one.desc() if is_descending else one.asc() for one in order)).limit(literal(limit))


def read(filter_: str | None, sort: str | None) -> Wish | None:
    """What the query parameters ask for; None where they ask for nothing.

    Raises:
        BadFilter: it is no list of conditions.
    """
    if filter_ is None and sort is None:
        return None
    try:
        given = from_json(filter_) if filter_ is not None else []
    except ValueError as error:
        raise BadFilter(f"The filter is no JSON: {error}.") from error
    return Wish(check(given), sort)


def check(given: object) -> tuple[tuple[str, str, Any], ...]:
    """The conditions of a filter, whatever their fields.

    Raises:
        BadFilter: it is no list of conditions.
    """
    if not isinstance(given, list) or len(given) > _MOST_CONDITIONS:
        raise BadFilter(f"A filter is a list of at most {_MOST_CONDITIONS} conditions.")
    for one in given:
        if not isinstance(one, list) or len(one) != 3 or not all(isinstance(part, str) for part in one[:2]):
            raise BadFilter('A condition is a list of three: ["amount_minor", ">=", 100000].')
    return tuple((name, operator, value) for name, operator, value in given)


def fields_of(model: type[Base], **more: Column) -> Fields:
    """The fields of a table's columns, and labels by their names."""
    found = {column.name: Field(column, kind) for column in model.__table__.c if (kind := _kind(column)) is not None}
    return found | {name: Field(label, Kind.TEXT) for name, label in more.items()}


def resolve(
    wish: Wish, fields: Fields, noun: str, custom: Values | None, definitions: Iterable[Definition] = ()
) -> Ask:
    """What was asked for as SQL, where `custom` are the columns of custom values, and of those that are computed.

    Raises:
        BadFilter: a field, an operator or a value is none of this list's; says which there are.
    """
    every = dict(fields)
    if custom is not None:
        filled, computed = custom
        known = list(definitions)
        kinds = {one.id: kind_of(noun, one, known) for one in known if one.expression is not None}
        _refuse_changing(wish, known, kinds)
        every |= {f"{CUSTOM}{one.id}": _custom_field(filled, one) for one in known if one.expression is None}
        every |= {f"{CUSTOM}{one}": _computed_field(computed, str(one), kind) for one, kind in kinds.items() if kind}
    conditions = tuple(_condition(name, operator, value, every) for name, operator, value in wish.conditions)
    if wish.sort is None:
        return Ask(conditions)
    field = _named(wish.sort.removeprefix("-"), every)
    if field.kind not in _LEAST:
        raise BadFilter(f"A list cannot be sorted by {wish.sort.removeprefix('-')!r}.")
    expression = func.lower(field.expression) if field.kind is Kind.TEXT else field.expression
    kind = _TYPES[field.kind]
    sort = func.coalesce(sql_cast(expression, kind), sql_cast(literal(_LEAST[field.kind], Text()), kind), type_=kind)
    return Ask(conditions, sort, is_descending=wish.sort.startswith("-"))


def _refuse_changing(wish: Wish, known: Iterable[Definition], kinds: Mapping[UUID, ValueKind | None]) -> None:
    for one in known:
        if one.id in kinds and kinds[one.id] is None and f"{CUSTOM}{one.id}" in wish.names:
            raise BadFilter(f"{one.name!r} speaks of now and changes by itself: no list is narrowed or sorted by it.")


def _kind(column: ColumnElement[Any]) -> Kind | None:
    if getattr(column, "name", "") in _HIDDEN:
        return None
    kinds = ((BigInteger, Kind.NUMBER), (Integer, Kind.NUMBER), (Date, Kind.DATE), (DateTime, Kind.INSTANT))
    kinds += ((Uuid, Kind.ID), (Text, Kind.TEXT))  # type: ignore[assignment]  # pairs all the same
    return next((kind for sql_type, kind in kinds if isinstance(column.type, sql_type)), None)


def _custom_field(custom: ColumnElement[Any], definition: Definition) -> Field:
    kind, key = _KIND_OF_CUSTOM[definition.type], str(definition.id)
    if kind is Kind.LIST:
        return Field(custom[key], kind)
    value = custom[key]["amount_minor"].astext if definition.type is FieldType.MONEY else custom[key].astext
    return Field(value if kind is Kind.TEXT else sql_cast(value, _TYPES[kind]), kind)


def _computed_field(computed: ColumnElement[Any], key: str, value_kind: ValueKind) -> Field:
    kind, value = _KIND_OF_COMPUTED[value_kind], computed[key].astext
    if kind in _WRITTEN_AS:
        value = case((func.jsonb_typeof(computed[key]) == _WRITTEN_AS[kind], value))
    elif kind in _WRITTEN_LIKE:
        value = case((value.regexp_match(_WRITTEN_LIKE[kind]), value))
    return Field(value if kind in (Kind.TEXT, Kind.FLAG) else sql_cast(value, _TYPES[kind]), kind)


def _named(name: str, fields: Fields) -> Field:
    field = fields.get(name)
    if field is None:
        raise BadFilter(f"There is no field {name!r}. There are: {', '.join(sorted(fields))}.")
    return field


def _condition(name: str, operator: str, value: Any, fields: Fields) -> ColumnElement[bool]:  # noqa: ANN401 # JSON
    field = _named(name, fields)
    if operator not in _OPERATORS[field.kind]:
        raise BadFilter(f"{name!r} takes {', '.join(sorted(_OPERATORS[field.kind]))}, not {operator!r}.")
    try:
        return _compared(field, operator, value)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadFilter(f"{name!r} {operator} takes {_WORDS[field.kind]}.") from error


def _compared(field: Field, operator: str, value: Any) -> ColumnElement[bool]:  # noqa: ANN401 # JSON
    expression: ColumnElement[Any] = field.expression
    if operator == "empty":
        if not isinstance(value, bool):
            raise TypeError
        return expression.is_(None) if value else expression.is_not(None)
    if operator == "in":
        if not isinstance(value, list) or len(value) > _MOST_VALUES:
            raise TypeError
        return or_(*(_compared(field, "=", one) for one in value)) if value else literal(0) == 1
    read_value = _READERS[field.kind](value)
    if operator == "contains":
        if field.kind is Kind.LIST:
            return expression.contains(JsonList([read_value]))
        return expression.icontains(as_pattern(read_value), escape="/")
    if field.kind is Kind.TEXT:
        expression, read_value = func.lower(expression), read_value.lower()
    there = literal(read_value, _TYPES[field.kind])
    compared: ColumnElement[bool] = _COMPARISONS[operator](expression, there)
    return compared


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": eq,
    "!=": lambda here, there: or_(here.is_(None), here != there),
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def _read_text(value: Any) -> str:  # noqa: ANN401 # JSON
    if not isinstance(value, str) or "\x00" in value or len(value) > _LONGEST_TEXT:
        raise TypeError
    return value


def _read_number(value: Any) -> int | float:  # noqa: ANN401 # JSON
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    number: int | float = value
    return number


def _read_flag(value: Any) -> str:  # noqa: ANN401 # JSON
    if not isinstance(value, bool):
        raise TypeError
    return "true" if value else "false"


def _read_instant(value: Any) -> datetime:  # noqa: ANN401 # JSON
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError
    return instant


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _read_text,
    Kind.NUMBER: _read_number,
    Kind.DATE: date.fromisoformat,
    Kind.INSTANT: _read_instant,
    Kind.ID: UUID,
    Kind.LIST: _read_text,
    Kind.FLAG: _read_flag,
}
_WORDS = {
    Kind.TEXT: "a text",
    Kind.NUMBER: "a number",
    Kind.DATE: "a day such as 2026-05-01",
    Kind.INSTANT: "an instant such as 2026-05-01T09:30:00Z",
    Kind.ID: "an id",
    Kind.LIST: "the id of a choice",
    Kind.FLAG: "true or false",
}
