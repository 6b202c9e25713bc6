"""What rules can do with tasks."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.kernel.actions import Acting, ActionKind, ActionParameters, Decision
from api.tasks import records, rules


class NewTask(ActionParameters):
    """A task about the record, for its owner, the rule's owner or a person."""

    title: str = Field(min_length=1, max_length=200)
    due_in_days: float = Field(default=1.0, ge=0, le=3650)
    assignee: UUID | Literal["owner", "rule_owner"] = "owner"


async def _create(acting: Acting, task: NewTask) -> Decision:
    zone = await records.organization_zone(acting.unit)
    owner_id = acting.facts.get("owner_id") or acting.owner_id
    assignee_id = {"owner": owner_id, "rule_owner": acting.owner_id}.get(str(task.assignee), task.assignee)
    given: dict[str, Any] = {
        "title": task.title,
        "due_at": acting.unit.now + timedelta(days=task.due_in_days),
        "assignee_id": assignee_id,
        f"{acting.subject_type}_id": acting.subject_id,
    }
    change = rules.create(given, now=acting.unit.now, zone=zone, created_by=None)
    acting.writes.append(lambda: records.write(acting.unit, [change]))
    return Decision({}, {"task_id": change.after.id})


ACTIONS = (ActionKind("task.create", "Create a task", NewTask, _create, subjects=("deal", "contact", "company")),)
