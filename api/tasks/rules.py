"""Rules of tasks. No I/O.

`create`, `update`, `complete`, `reopen` and `delete` answer changes for `records.write`. Completing a task that recurs
makes the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from api.kernel.links import Links
from api.tasks.recurrence import checked, following
from contracts.events.tasks import TaskCompleted, TaskCreated, TaskDeleted, TaskReopened, TaskRestored, TaskUpdated


class TaskIsCompleted(Conflict):
    """The task is done already."""

    code, detail = "task_completed", "The task is done. Reopen it first."


class TaskIsOpen(Conflict):
    """Only a task that is done can be reopened."""

    code, detail = "task_open", "The task is open."


class DueDateNeeded(Unprocessable):
    """What recurs is due at some time."""

    code, detail, pointer = "due_date_needed", "A task that recurs needs due_at.", "/due_at"


@dataclass(frozen=True, kw_only=True)
class Task(Versioned):
    """One task."""

    title: str
    body: str | None = None
    due_at: datetime | None = None
    remind_at: datetime | None = None
    recurrence: str | None = None
    series_start: datetime | None = None
    assignee_id: UUID | None = None
    created_by: UUID | None = None
    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None
    completed_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def links(self) -> Links:
        """What it is about."""
        return Links(self.deal_id, self.contact_id, self.company_id)


Change = changes.Change[Task]

_FACTS = ("assignee_id", "deal_id", "contact_id", "company_id", "due_at")
_WRITABLE = frozenset(one.name for one in fields(Task)) - {
    *("id", "version", "created_at", "updated_at", "created_by", "series_start", "completed_at", "deleted_at")
}


def create(given: Mapping[str, Any], *, now: datetime, zone: ZoneInfo, created_by: UUID | None) -> Change:
    """A new task of the fields given: `title`, and of the others those that are known.

    Raises:
        DueDateNeeded, BadRecurrence: it cannot recur so.
    """
    values = {name: given[name] for name in _WRITABLE & given.keys()}
    task = Task(id=uuid7(), version=1, created_at=now, updated_at=now, created_by=created_by, **values)
    task = _recurring(task, zone)
    return Change(None, task, TaskCreated(**_facts(task)))


def update(task: Task, given: Mapping[str, Any], *, now: datetime, zone: ZoneInfo) -> Change | None:
    """The task with other values; None where nothing differs.

    Raises:
        DueDateNeeded, BadRecurrence: it cannot recur so.
    """
    wanted = {name: value for name, value in given.items() if name in _WRITABLE and getattr(task, name) != value}
    if not wanted:
        return None
    after = revised(task, now, **wanted)
    if wanted.keys() & {"recurrence", "due_at"}:
        after = _recurring(after, zone)
    return Change(task, after, TaskUpdated(**_facts(after), changed_fields=sorted(wanted)))


def complete(task: Task, *, now: datetime, zone: ZoneInfo) -> list[Change]:
    """The task is done; where it recurs, the next one is to be done.

    Raises:
        TaskIsCompleted: it was done already.
    """
    if task.completed_at is not None:
        raise TaskIsCompleted
    done = revised(task, now, completed_at=now)
    changes_ = [Change(task, done, TaskCompleted(**_facts(done)))]
    upcoming = _following(task, now=now, zone=zone)
    return [*changes_, Change(None, upcoming, TaskCreated(**_facts(upcoming)))] if upcoming else changes_


def reopen(task: Task, *, now: datetime) -> Change:
    """The task is to be done after all.

    Raises:
        TaskIsOpen: it is open.
    """
    if task.completed_at is None:
        raise TaskIsOpen
    after = revised(task, now, completed_at=None)
    return Change(task, after, TaskReopened(**_facts(after)))


def delete(task: Task, *, now: datetime) -> Change:
    """Gone from every list."""
    after = revised(task, now, deleted_at=now)
    return Change(task, after, TaskDeleted(**_facts(after)))


def restore(task: Task, *, now: datetime) -> Change:
    """There again."""
    after = revised(task, now, deleted_at=None)
    return Change(task, after, TaskRestored(**_facts(after)))


def _recurring(task: Task, zone: ZoneInfo) -> Task:
    if task.recurrence is None:
        return replace(task, series_start=None)
    if task.due_at is None:
        raise DueDateNeeded
    return replace(task, recurrence=checked(task.recurrence, task.due_at, zone), series_start=task.due_at)


def _following(task: Task, *, now: datetime, zone: ZoneInfo) -> Task | None:
    if task.recurrence is None or task.due_at is None:
        return None
    due_at = following(task.recurrence, task.series_start or task.due_at, task.due_at, zone)
    if due_at is None:
        return None
    remind_at = due_at - (task.due_at - task.remind_at) if task.remind_at else None
    fresh: dict[str, Any] = {"id": uuid7(), "version": 1, "created_at": now, "updated_at": now}
    return replace(task, **fresh, due_at=due_at, remind_at=remind_at)


def _facts(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _FACTS} | {"is_recurring": task.recurrence is not None}
