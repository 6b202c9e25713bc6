"""Statements about tasks: what the rules read, and what they decided."""

from collections.abc import Collection, Iterable
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Boolean, bindparam, or_, select

from api.db.statements import Bound, compiled, contains, is_one_of
from api.kernel.constraints import Problems, unknown
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.filters import fields_of
from api.kernel.links import LINKED
from api.kernel.listing import Listing
from api.kernel.states import as_state, rows_of
from api.kernel.timelines import SOURCES, Source
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.organization import Organization
from api.models.task import Task as TaskRow
from api.tasks.rules import Change, Task

_PROBLEMS: Problems = {
    "fk_tasks_assignee_id": unknown("assignee_id", "active user"),
    **{f"fk_tasks_{column}": unknown(column, noun) for column, noun in LINKED.items()},
}
_ZONE = compiled(select(Organization.time_zone).where(Organization.organization_id == bindparam("organization_id")))
_tasks = rows_of(Task, TaskRow).where(TaskRow.deleted_at.is_(None))
_gone = rows_of(Task, TaskRow).where(TaskRow.deleted_at.is_not(None)).with_for_update(of=TaskRow)
#: A task is seen by whoever sees the records of its assignee or of its author.
_is_seen = or_(is_one_of(TaskRow.assignee_id, "owners"), is_one_of(TaskRow.created_by, "owners"))
_conditions = {
    "id": TaskRow.id == bindparam("id"),
    "owners": _is_seen,
    "is_completed": TaskRow.completed_at.is_not(None) == bindparam("is_completed", type_=Boolean),
    "due_before": TaskRow.due_at < bindparam("due_before"),
    "due_from": TaskRow.due_at >= bindparam("due_from"),
    "q": contains(TaskRow.title, "q"),
    **{name: getattr(TaskRow, name) == bindparam(name) for name in ("assignee_id", *LINKED)},
}
#: Tasks, the newest first.
TASKS = Listing(_tasks, filters=_conditions, order=(TaskRow.id,), newest_first=True)
#: What a list of tasks can be narrowed and sorted by.
FIELDS = fields_of(TaskRow)
_DELETED = Listing(_gone, filters=_conditions, order=(TaskRow.id,))
_LOCKED = Listing(_tasks.with_for_update(of=TaskRow), filters=_conditions, order=(TaskRow.id,))


def zone_query() -> Bound:
    """The statement that answers the organization's zone."""
    return _ZONE.bind()


async def organization_zone(unit: UnitOfWork) -> ZoneInfo:
    """The organization's zone."""
    [row] = await unit.fetch(_ZONE)
    return ZoneInfo(row.time_zone)


async def read_task(unit: UnitOfWork, task_id: UUID, *, owners: Collection[UUID] | None) -> Task:
    """One task that the caller sees.

    Raises:
        NotFound: there is none.
    """
    [rows] = await unit.fetch_all(TASKS.bind({"id": task_id, "owners": owners}, after=None, limit=1))
    if not rows:
        raise NotFound("task")
    return as_state(Task, rows[0])


async def lock_deleted(unit: UnitOfWork, task_id: UUID, *, owners: Collection[UUID] | None) -> Task:
    """A deleted task that the caller saw, locked.

    Raises:
        NotFound: there is none.
    """
    [rows] = await unit.fetch_all(_DELETED.bind({"id": task_id, "owners": owners}, after=None, limit=1))
    if not rows:
        raise NotFound("task")
    return as_state(Task, rows[0])


async def lock_task(
    unit: UnitOfWork, task_id: UUID, *, owners: Collection[UUID] | None, expected_version: int | None
) -> tuple[Task, ZoneInfo]:
    """A task that the caller sees, locked, and the zone in which it recurs.

    Raises:
        NotFound: there is none.
        PreconditionFailed: it changed since the caller read it.
    """
    rows, [zone] = await unit.fetch_all(
        _LOCKED.bind({"id": task_id, "owners": owners}, after=None, limit=1), zone_query()
    )
    if not rows:
        raise NotFound("task")
    task = as_state(Task, rows[0])
    if expected_version not in (None, task.version):
        raise PreconditionFailed
    return task, ZoneInfo(zone.time_zone)


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what the rules decided."""
    unit.explain(_PROBLEMS)
    write_changes(unit, changes, {Task: TaskRow})


SOURCES.append(
    Source(
        kinds=("task",),
        scope="tasks:read",
        table="tasks",
        at="coalesce(x.completed_at, x.created_at)",
        kind="'task'",
        type="case when x.completed_at is null then 'task.created' else 'task.completed' end",
        actor="coalesce(x.assignee_id, x.created_by)",
        data="""jsonb_build_object('title', x.title, 'body', x.body, 'due_at', x.due_at,
            'completed_at', x.completed_at, 'version', x.version)""",
        where="x.deleted_at is null",
    )
)
