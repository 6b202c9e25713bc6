"""Between rows and the states that rules read: a state's fields are columns of its table."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from sqlalchemy import ColumnElement, Select, bindparam, select

from api.db.pipeline import Row
from api.kernel.errors import NotFound
from api.models.base import Base, TenantRow

S = TypeVar("S")


def columns_of(kind: type, model: type[Base]) -> list[ColumnElement[Any]]:
    """The columns of a state, for its statement."""
    table = model.__table__
    return [table.c[field.name] for field in fields(kind)]


def rows_of(kind: type, model: type[TenantRow]) -> Select[Any]:
    """The organization's rows of a state, to be narrowed."""
    return select(*columns_of(kind, model)).where(model.organization_id == bindparam("organization_id"))


def as_state(kind: type[S], row: Row) -> S:
    """A row that has a state's columns, as the state."""
    names, enumerations = _shape(cast("Hashable", kind))
    values = {name: getattr(row, name) for name in names}
    return kind(**values | {name: enumeration(values[name]) for name, enumeration in enumerations})


def as_states(kind: type[S], rows: Iterable[Row]) -> list[S]:
    """Such rows, as states."""
    return [as_state(kind, row) for row in rows]


def only(kind: type[S], rows: Sequence[Row], noun: str) -> S:
    """The one row of an answer, as a state.

    Raises:
        NotFound: there is none.
    """
    if not rows:
        raise NotFound(noun)
    return as_state(kind, rows[0])


@cache
def _shape(kind: Any) -> tuple[list[str], list[tuple[str, type[StrEnum]]]]:  # noqa: ANN401 # any dataclass
    hints = get_type_hints(kind).items()
    enumerations = [(name, hint) for name, hint in hints if isinstance(hint, type) and issubclass(hint, StrEnum)]
    return [field.name for field in fields(kind)], enumerations
