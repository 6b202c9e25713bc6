"""Custom fields that are computed: expressions in CEL over the record's own fields, told with it and kept nowhere.

    deal.amount * deal.custom["Probability"] / 100.0

Whatever is missing makes the value missing. Numbers are decimals (`2.0`, not `2`). Values are computed when a record is
read, so they are never stale, and may speak of `now`; lists cannot be narrowed or sorted by them.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
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
_SAMPLES_OF_CUSTOM: Mapping[FieldType, Any] = {
    FieldType.NUMBER: 1.5,
    FieldType.MONEY: 1.5,
    FieldType.DATE: "2026-01-31",
    FieldType.CHOICES: ["c"],
}


class BadExpression(Unprocessable):
    """The expression of a computed field cannot be used."""

    code, pointer = "bad_expression", "/expression"


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
    of_custom = {one.name: _SAMPLES_OF_CUSTOM.get(one.type, "t") for one in _filled(known)}
    sample = {**_SAMPLES[noun], "custom": of_custom}
    try:
        program = _program(expression)
        names = set(program.references()["variables"])
        value = program.execute(cel.Context(variables={noun: sample, "now": _SAMPLE_TIME}))
    except KeyError as error:
        there = ", ".join([*_SAMPLES[noun], *(f"custom[{name!r}]" for name in of_custom)])
        raise BadExpression(f"There is no {error.args[0]!r}. There are: {there}.") from error
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        there = f"It may name {noun} and now." if "Undefined variable" in str(error) else ""
        raise BadExpression(f"{_first_line(error)} {there}".strip()) from error
    if not names:
        raise BadExpression(f"It says nothing of the {noun}, so that it would be the same for all.")
    if _told(value) is None:
        raise BadExpression("Its value must be a number, a text, a moment, a span of time, or true or false.")


def mentions(expression: str, name: str) -> bool:
    """Whether an expression speaks of a custom field."""
    return re.search(rf"""["']{re.escape(name)}["']""", expression) is not None


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
