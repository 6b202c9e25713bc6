"""Writes what rules decided: rows and events, queued on the unit of work."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from api.kernel.auditing import note_changes
from api.kernel.changes import Change
from api.kernel.unit_of_work import UnitOfWork
from api.models.base import Base


def write(unit: UnitOfWork, changes: Iterable[Change[Any]], tables: Mapping[type, type[Base]]) -> None:
    """Queue what was decided: per table one statement for rows that change and one for new rows; events in order.

    Several changes of one row are written once. What changes goes before what is new, tables in the order of `tables`:
    first those that others refer to.
    """
    by_row: dict[tuple[type, UUID], Change[Any]] = {}
    for change in changes:
        key = type(change.after), change.after.id
        by_row[key] = Change(by_row[key].before if key in by_row else change.before, change.after)
        if change.event is not None:
            unit.emit(
                change.event,
                aggregate_id=change.after.id,
                aggregate_version=change.after.version,
                occurred_at=change.occurred_at,
            )
    for kind, table in tables.items():
        rows = [change for (of, _), change in by_row.items() if of is kind]
        note_changes(unit, table, rows)
        changed = [change for change in rows if change.before is not None]
        names = [field.name for field in fields(kind)]
        moved = [
            name for name in names if any(getattr(one.before, name) != getattr(one.after, name) for one in changed)
        ]
        if moved:
            unit.update(table, *(_columns(one.after, ["id", *moved]) for one in changed))
        if new := [_columns(one.after, names) for one in rows if one.before is None]:
            unit.insert(table, *new)


def _columns(state: object, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(state, name) for name in names}
