"""Statements, composed with SQLAlchemy Core once and sent by psycopg as they are: text with $1, $2, … and values.

A statement is made where its module is loaded and named in capitals; only its values change from request to request,
so PostgreSQL plans it once per connection. Lists with optional filters make one per combination, and keep it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, Text, any_, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType

# the dialect whose placeholders are those of the protocol; its driver is not used
_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own


class Statement:
    """A composed statement. `bind` gives it values; what it compares with constants it knows itself."""

    __slots__ = ("_defaults", "_names", "is_prepared", "sql")

    def __init__(self, sql: str, names: Sequence[str], defaults: Mapping[str, object], *, is_prepared: bool) -> None:
        self.sql, self.is_prepared = sql.encode(), is_prepared
        self._names, self._defaults = tuple(names), dict(defaults)

    def bind(self, **values: object) -> "Bound":
        """The statement with values, for `fetch_all` and other places that take several at once."""
        return Bound(self, values)

    def arguments(self, values: Mapping[str, object], implied: Mapping[str, object]) -> list[object]:
        """The values in the order of the placeholders; what is not given is implied, or the statement's own.

        Raises:
            TypeError: a value is missing, or belongs to no placeholder.
        """
        known = {**self._defaults, **implied, **values}
        if unknown := values.keys() - self._names:
            raise TypeError(f"the statement has no {', '.join(sorted(unknown))}: {self.sql.decode()}")
        try:
            return [known[name] for name in self._names]
        except KeyError as missing:
            raise TypeError(f"the statement lacks {missing}: {self.sql.decode()}") from missing


class Bound(NamedTuple):
    """A statement and its values."""

    statement: Statement
    values: Mapping[str, object]


def compiled(query: Executable, *, is_prepared: bool = True) -> Statement:
    """Compile a composed statement.

    Values that change are `bindparam("name")`; `is_one_of` compares with a list. Not prepared, it is planned each time
    for its own values: right where an array has few elements or thousands.
    """
    if not isinstance(query, ClauseElement):
        raise TypeError("only what SQLAlchemy composes can be compiled")
    result = query.compile(dialect=_DIALECT)
    if not isinstance(result, SQLCompiler):
        raise TypeError("only statements about rows can be compiled")
    required = [bound.key for bound in result.binds.values() if bound.required]
    state = result.construct_expanded_state(dict.fromkeys(required))  # writes out the lists of constants
    defaults = {name: value for name, value in state.parameters.items() if name not in required}
    return Statement(state.statement, state.positiontup or (), defaults, is_prepared=is_prepared)


def is_one_of(column: ColumnElement[Any] | InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Whether a column is among the values of a list that `bind` gives by this name: one array, however long."""
    # a function of a column has no type to SQLAlchemy; all functions here are of text
    kind = Text() if isinstance(column.type, NullType) else column.type
    return column == any_(bindparam(name, type_=postgresql.ARRAY(kind)))


def contains(column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], name: str) -> ColumnElement[bool]:
    """Whether a text contains, in any case, the `as_pattern` that `bind` gives by this name."""
    return column.icontains(bindparam(name), escape="/")


def as_pattern(part: str) -> str:
    """A part of a text, for `contains`: its wildcards mean themselves."""
    return re.sub("[%_/]", r"/\g<0>", part)


@cache
def insert_one(table: Table, columns: tuple[str, ...]) -> Statement:
    """Insert a row that has these columns."""
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return _plain(f"insert into {table.name} ({_listed(columns)}) values ({places})", columns)


@cache
def update_one(table: Table, columns: tuple[str, ...]) -> Statement:
    """Set these columns of the row that `organization_id` and `id` name; both are among the columns."""
    places = {name: f"${number}" for number, name in enumerate(columns, start=1)}
    changes = ", ".join(f"{_quoted(name)} = {places[name]}" for name in columns if name not in _KEY)
    found = " and ".join(f"{name} = {places[name]}" for name in _KEY)
    return _plain(f"update {table.name} set {changes} where {found}", columns)


@cache
def insert_many(table: Table, columns: tuple[str, ...]) -> Statement:
    """Insert all `rows` of a JSON document: one round trip, no temporary table, under row-level security."""
    listed = _listed(columns)
    return _plain(f"insert into {table.name} ({listed}) select {listed} from {_document(table, columns)}", ("rows",))


@cache
def update_many(table: Table, columns: tuple[str, ...]) -> Statement:
    """The same for updates."""
    changes = ", ".join(f"{_quoted(name)} = r.{_quoted(name)}" for name in columns if name not in _KEY)
    found = " and ".join(f"t.{name} = r.{name}" for name in _KEY)
    return _plain(
        f"update {table.name} as t set {changes} from {_document(table, columns)} where {found}",
        ("rows",),
    )


_KEY = ("organization_id", "id")
_quoted = _DIALECT.identifier_preparer.quote


def _plain(sql: str, names: Sequence[str]) -> Statement:
    return Statement(sql, names, {}, is_prepared=True)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(_quoted(name) for name in columns)


def _document(table: Table, columns: Sequence[str]) -> str:
    typed = ", ".join(f"{_quoted(name)} {table.c[name].type.compile(_DIALECT)}" for name in columns)
    return f"jsonb_to_recordset($1::jsonb) as r ({typed})"
