"""Many rows in one statement, written as one JSON document: one round trip, no temporary table, under RLS."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Executable, Result, Text, any_, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import NullType

from api.models.base import TenantRow

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
_CHUNK = 2_000
_CUSTOM_PLANS = text("set local plan_cache_mode = force_custom_plan")
_USUAL_PLANS = text("set local plan_cache_mode = auto")


async def look_up(session: AsyncSession, query: Executable) -> Result[Any]:
    """Execute a query that uses `is_one_of`, planned for its own arrays.

    A plan made for any array compares each row with each element; one made for this array looks them up. Only for
    reading: in writing, the check of each foreign key would be planned for each row.
    """
    await session.execute(_CUSTOM_PLANS)
    found = await session.execute(query)
    await session.execute(_USUAL_PLANS)
    return found


def is_one_of(column: ColumnElement[Any] | InstrumentedAttribute[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """Whether a column has one of many values: one array parameter, however many they are."""
    # a function of a column has no type to SQLAlchemy; all functions here are of text
    kind = Text() if isinstance(column.type, NullType) else column.type
    return column == any_(bindparam(None, list(values), type_=postgresql.ARRAY(kind)))


async def insert_rows(session: AsyncSession, model: type[TenantRow], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    columns = ", ".join(rows[0])
    statement = text(f"insert into {model.__tablename__} ({columns}) select {columns} from {_source(model, rows[0])}")
    for chunk in _chunks(rows):
        await session.execute(statement, {"rows": to_json(chunk).decode()})


async def update_rows(session: AsyncSession, model: type[TenantRow], rows: Sequence[dict[str, Any]]) -> None:
    """Update rows, found by `organization_id` and `id`; all have the same columns. The caller has locked them."""
    if not rows:
        return
    changes = ", ".join(f"{name} = r.{name}" for name in rows[0] if name not in ("organization_id", "id"))
    statement = text(
        f"update {model.__tablename__} as t set {changes} from {_source(model, rows[0])}"
        " where t.organization_id = r.organization_id and t.id = r.id"
    )
    for chunk in _chunks(rows):
        await session.execute(statement, {"rows": to_json(chunk).decode()})


def _source(model: type[TenantRow], row: dict[str, Any]) -> str:
    table = model.metadata.tables[model.__tablename__]
    columns = ", ".join(f"{name} {table.c[name].type.compile(_DIALECT)}" for name in row)
    return f"jsonb_to_recordset(cast(:rows as jsonb)) as r ({columns})"


def _chunks(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), _CHUNK):
        yield list(rows[start : start + _CHUNK])
