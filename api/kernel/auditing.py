"""Entries of the audit log, written in the transaction of what they tell of.

`write` notes changes of every row whose table says which of its columns are `__audited__`; what is no change of a row
(a failed sign-in) notes itself. The chain of hashes is the database's own (`chain_audit`).
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.changes import Change
from api.kernel.unit_of_work import UnitOfWork
from api.models.base import Base

_NOTE = compiled(
    text("""
insert into audit_log (organization_id, action, actor, actor_id, address, correlation_id, resource, resource_id,
    before, after)
values (:organization_id, :action, :actor, :actor_id, :address, :correlation_id, :resource, :resource_id,
    :before, :after)
""")
)


def note(
    unit: UnitOfWork,
    action: str,
    *,
    resource: str | None = None,
    resource_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Queue an entry: who and from where is the unit's context."""
    context = unit.context
    unit.execute(
        _NOTE,
        action=action,
        actor=context.actor,
        actor_id=context.actor_id,
        address=context.address,
        correlation_id=context.correlation_id,
        resource=resource,
        resource_id=resource_id,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
    )


def note_changes(unit: UnitOfWork, table: type[Base], changes: Iterable[Change[Any]]) -> None:
    """Queue an entry for each change of a row that is audited: the columns that differ."""
    if table.__audited__ is None:
        return
    noun, columns = table.__audited__
    for change in changes:
        after = {name: getattr(change.after, name) for name in columns}
        if change.before is None:
            note(unit, f"{noun}.created", resource=noun, resource_id=change.after.id, after=after)
            continue
        before = {name: getattr(change.before, name) for name in columns}
        moved = [name for name in columns if before[name] != after[name]]
        if moved:
            note(
                unit,
                f"{noun}.updated",
                resource=noun,
                resource_id=change.after.id,
                before={name: before[name] for name in moved},
                after={name: after[name] for name in moved},
            )
