"""Custom fields that are computed: expressions in CEL over the record's own fields. No I/O but for reading definitions.

    deal.amount * deal.custom["Probability"] / 100.0

Whatever is missing makes the value missing. Numbers are decimals (`2.0`, not `2`). Who reads a record gets its values
computed then, never stale. Those that only the record decides are kept beside it, too (`api.kernel.computing`), for
lists and figures; what speaks of `now` changes by itself, and is kept nowhere.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

import cel
from sqlalchemy import Exists, bindparam, exists, literal, select

from api.kernel import custom
from api.kernel.conditions import lists_in
from api.kernel.custom import Definition, FieldType
from api.kernel.errors import Unprocessable
from api.kernel.unit_of_work import UnitOfWork
from api.models.custom_field import CustomField
from contracts.money import MINOR_DIGITS

#: Whether there are such fields, among the columns of a record that is read.
FLAG = "has_computed"
LONGEST_EXPRESSION = 500

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_SAMPLE_TIME = datetime(2026, 1, 31, tzinfo=UTC)
_SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "deal": {
        "title": "t", "status": "open", "amount": 1.5, "currency": "EUR", "source": "s", "lost_reason": "r",
        "close_date": "2026-01-31", "created_at": _SAMPLE_TIME, "stage_entered_at": _SAMPLE_TIME,
    },
    "contact": {"name": "n", "email": "a@b.example", "phone": "+49", "source": "s", "created_at": _SAMPLE_TIME},
    "company": {
        "name": "n", "domain": "b.example", "industry": "i", "employee_count": 1.5, "country": "DE",
        "created_at": _SAMPLE_TIME,
    },
}  # fmt: skip
#: What may tell who somebody is, of the fields that every record has.
_PERSONAL: Mapping[str, frozenset[str]] = {
    "deal": frozenset({"title"}),
    "contact": frozenset({"name", "email", "phone"}),
    "company": frozenset({"name", "domain"}),
}
_LITERAL = re.compile(r"""'([^'\\]*)'|"([^"\\]*)\"""")
#: `deal.amount`, `deal.custom["Weight"]`, `deal.custom.Weight`; or the word alone, of which nothing is known.
_USE = r"""\b{}\b(?:\s*\.\s*custom\s*(?:\[\s*(['"])([^'"\\]*)\1\s*\]|\.\s*(\w+))|\s*\.\s*(?!custom\b)(\w+))?"""
_SAMPLES_OF_CUSTOM: Mapping[FieldType, Any] = {
    FieldType.NUMBER: 1.5,
    FieldType.MONEY: 1.5,
    FieldType.DATE: "2026-01-31",
    FieldType.CHOICES: ["c"],
}


class BadExpression(Unprocessable):
    """The expression of a computed field cannot be used."""

    code, pointer = "bad_expression", "/expression"


class ValueKind(StrEnum):
    """What the values of a computed field are."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    INSTANT = "instant"


def has_computed(noun: str) -> Exists:
    """Whether a kind of records has computed fields."""
    return exists(
        select(literal(1)).where(
            CustomField.organization_id == bindparam("organization_id"),
            CustomField.record_kind == literal(noun),
            CustomField.type == literal(FieldType.COMPUTED.value),
            ~CustomField.is_retired,
        )
    )


def check(noun: str, expression: str, known: Iterable[Definition]) -> None:
    """Refuse an expression that cannot be read, names what is not there, or whose value is none.

    Raises:
        BadExpression: it says what is wrong, and what there is.
    """
    if lists_in(expression) > 1:
        raise BadExpression("It may go through one list only.")
    sample = _sample(noun, known)
    try:
        names, value = set(_variables(expression)), _tried(noun, expression, sample)
    except KeyError as error:
        there = ", ".join([*_SAMPLES[noun], *(f"custom[{name!r}]" for name in sample["custom"])])
        raise BadExpression(f"There is no {error.args[0]!r}. There are: {there}.") from error
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        there = f"It may name {noun} and now." if "Undefined variable" in str(error) else ""
        raise BadExpression(f"{_first_line(error)} {there}".strip()) from error
    if not names:
        raise BadExpression(f"It says nothing of the {noun}, so that it would be the same for all.")
    if _told(value) is None:
        raise BadExpression("Its value must be a number, a text, a moment, a span of time, or true or false.")


def kind_of(noun: str, field: Definition, known: Iterable[Definition]) -> ValueKind | None:
    """What the values of a computed field are; None where they change by themselves, as they speak of `now`."""
    expression = field.expression or ""
    try:
        if "now" in _variables(expression):
            return None
        return _kind(_told(_tried(noun, expression, _sample(noun, known))))
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError):
        return None  # what it spoke of has changed since it was checked


def is_personal(noun: str, expression: str, known: Iterable[Definition]) -> bool:
    """Whether an expression reads what may tell who somebody is, as far as it can be told from how it is written."""
    harmless = {one.name for one in _filled(known) if not one.is_personal}
    for _, quoted, dotted, field in re.findall(_USE.format(noun), expression):
        if field and field in _SAMPLES[noun] and field not in _PERSONAL[noun]:
            continue
        if (quoted or dotted) not in harmless:
            return True
    return False


def shared(noun: str, values: Mapping[str, Any], known: Sequence[Definition]) -> dict[str, str]:
    """What events may say of computed values: those of nothing personal, and texts that the expression itself writes:
    others are labels or what people typed, which may name somebody.
    """
    told = {}
    for one in known:
        value, expression = values.get(str(one.id)), one.expression
        if value is None or expression is None or one.is_personal or is_personal(noun, expression, known):
            continue
        if isinstance(value, str) and _kind(value) is ValueKind.TEXT and value not in _literals(expression):
            continue
        told[str(one.id)] = custom.as_text(value)
    return told


def lasting(noun: str, row: Mapping[str, Any], known: Sequence[Definition]) -> dict[str, Any]:
    """What is computed of a record and only the record decides, each value of its field's kind."""
    kinds = {str(one.id): kind_of(noun, one, known) for one in known if one.expression is not None}
    kept = [one for one in known if one.expression is None or kinds[str(one.id)] is not None]
    values = values_of(noun, row, kept)
    return {key: value for key, value in values.items() if _kind(value) is kinds[key]}


def mentions(expression: str, name: str) -> bool:
    """Whether an expression speaks of a custom field."""
    return re.search(rf"""["']{re.escape(name)}["']|\bcustom\s*\.\s*{re.escape(name)}\b""", expression) is not None


async def completed(unit: UnitOfWork, noun: str, rows: Sequence[Any]) -> Sequence[Any]:
    """Records as they were read, with what is computed of them among their custom values. Waits only where there are
    computed fields.
    """
    if not rows or not _of(rows[0]).get(FLAG):
        return rows
    [found] = await unit.fetch_all(custom.defining(noun))
    return [with_computed(noun, _of(row), custom.definitions(found)) for row in rows]


def with_computed(noun: str, row: Mapping[str, Any], known: Sequence[Definition]) -> Mapping[str, Any]:
    """A record with its computed values, where there are any."""
    values = values_of(noun, row, known)
    return {**row, "custom": {**row["custom"], **values}} if values else row


def values_of(noun: str, row: Mapping[str, Any], known: Iterable[Definition]) -> dict[str, Any]:
    """What is computed of a record, by the ids of the fields; what lacks something is left out."""
    known = list(known)
    computed = [one for one in known if one.expression is not None]
    if not computed:
        return {}
    context = cel.Context(variables={noun: _root(noun, row, known), "now": datetime.now(UTC)})
    told = {str(one.id): _value(one.expression or "", context) for one in computed}
    return {key: value for key, value in told.items() if value is not None}


def _of(row: Any) -> Mapping[str, Any]:  # noqa: ANN401 # a row of an answer
    found: Mapping[str, Any] = row if isinstance(row, Mapping) else row._asdict()
    return found


def _sample(noun: str, known: Iterable[Definition]) -> dict[str, Any]:
    of_custom = {one.name: _SAMPLES_OF_CUSTOM.get(one.type, "t") for one in _filled(known)}
    return {**_SAMPLES[noun], "custom": of_custom}


def _tried(noun: str, expression: str, sample: Mapping[str, Any]) -> Any:  # noqa: ANN401 # any value
    return _program(expression).execute(cel.Context(variables={noun: sample, "now": _SAMPLE_TIME}))


def _kind(value: Any) -> ValueKind | None:  # noqa: ANN401 # JSON
    match value:
        case bool():
            return ValueKind.FLAG
        case int() | float():
            return ValueKind.NUMBER
        case str():
            return ValueKind.INSTANT if _INSTANT.fullmatch(value) else ValueKind.TEXT
        case _:
            return None


@lru_cache(maxsize=4_096)
def _literals(expression: str) -> frozenset[str]:
    return frozenset(one or other for one, other in _LITERAL.findall(expression))


@lru_cache(maxsize=4_096)
def _variables(expression: str) -> frozenset[str]:
    return frozenset(_program(expression).references()["variables"])


def _filled(known: Iterable[Definition]) -> list[Definition]:
    return [one for one in known if one.type is not FieldType.COMPUTED]


def _root(noun: str, row: Mapping[str, Any], known: Iterable[Definition]) -> dict[str, Any]:
    fields = {name: _plain(row.get(name)) for name in _SAMPLES[noun]}
    if "amount" in fields:
        fields["amount"] = _major(row.get("amount_minor"), row.get("currency"))
    fields["custom"] = {one.name: _of_custom(one, row["custom"].get(str(one.id))) for one in _filled(known)}
    return fields


def _plain(value: Any) -> Any:  # noqa: ANN401 # any column
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def _major(amount_minor: int | None, currency: str | None) -> float | None:
    if amount_minor is None:
        return None
    return float(Decimal(amount_minor).scaleb(-MINOR_DIGITS.get(currency or "", 2)))


def _of_custom(one: Definition, value: Any) -> Any:  # noqa: ANN401 # JSON
    if value is None:
        return None
    match one.type:
        case FieldType.NUMBER:
            return float(value)
        case FieldType.MONEY:
            return _major(value["amount_minor"], value["currency"])
        case FieldType.CHOICE:
            return one.choices.get(value)
        case FieldType.CHOICES:
            return [one.choices.get(choice) for choice in value]
        case _:
            return value


@lru_cache(maxsize=4_096)
def _program(expression: str) -> Any:  # noqa: ANN401 # the library has no types
    return cel.compile(expression)


def _value(expression: str, context: Any) -> Any:  # noqa: ANN401 # as above
    try:
        return _told(_program(expression).execute(context))
    except (TypeError, ValueError, KeyError, RuntimeError, ArithmeticError):
        return None


def _told(value: Any) -> Any:  # noqa: ANN401 # JSON
    """A value as JSON has it; None for what is none."""
    match value:
        case float():
            return round(value, 9) if math.isfinite(value) else None
        case datetime():
            return value.isoformat()
        case timedelta():
            return round(value / timedelta(days=1), 9)
        case bool() | int() | str():
            return value
        case _:
            return None


def _first_line(error: Exception) -> str:
    text = str(error).removeprefix("Failed to parse expression ").split("ERROR: <input>:")[-1]
    return text.splitlines()[0].partition(" expecting ")[0].strip()
