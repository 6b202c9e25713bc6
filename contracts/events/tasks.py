"""Events of tasks: who is to do something by when, and about which records; never what it says."""

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from contracts.events.envelope import Event


class TaskEvent(Event):
    """Any event of a task: its state after it."""

    aggregate_type: ClassVar[str] = "task"
    topic: ClassVar[str] = "sluice.activities"

    assignee_id: UUID | None
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    due_at: AwareDatetime | None
    is_recurring: bool


class TaskCreated(TaskEvent):
    """A task is to be done."""

    type: ClassVar[str] = "task.created"


class TaskUpdated(TaskEvent):
    """A task changed; which fields did (texts by name only)."""

    type: ClassVar[str] = "task.updated"

    changed_fields: list[str]


class TaskCompleted(TaskEvent):
    """A task was done."""

    type: ClassVar[str] = "task.completed"


class TaskReopened(TaskEvent):
    """A task that was done is to be done after all."""

    type: ClassVar[str] = "task.reopened"


class TaskDeleted(TaskEvent):
    """A task was deleted."""

    type: ClassVar[str] = "task.deleted"


class TaskRestored(TaskEvent):
    """A deleted task is there again."""

    type: ClassVar[str] = "task.restored"
