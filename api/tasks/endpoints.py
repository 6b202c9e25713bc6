"""`/v1/tasks`: the tasks a caller sees: of people whose records they see, and those they gave to others."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response

from api.db.statements import as_pattern
from api.edge.dependencies import CurrentCaller, IfMatch, OptionalIfMatch, RecordWriter, Unit
from api.edge.fields import Instant, SearchText
from api.edge.pages import Page, PageOf, Wished, asked, read_page
from api.edge.routing import problems, slice_router
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.filters import BadFilter
from api.kernel.links import check_links
from api.kernel.owners import check_user
from api.kernel.visibility import owners_seen
from api.tasks import records, rules
from api.tasks.recurrence import BadRecurrence
from api.tasks.schemas import TaskCreate, TaskRead, TaskUpdate

router = slice_router(prefix="/tasks", tags=["tasks"])

_BAD_FIELDS = (UnknownReference, BadRecurrence, rules.DueDateNeeded)


async def _filter(
    assignee_id: UUID | None = None,
    deal_id: UUID | None = None,
    contact_id: UUID | None = None,
    company_id: UUID | None = None,
    is_completed: bool | None = None,
    due_before: Instant | None = None,
    due_from: Instant | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the title, in any case.")] = None,
) -> dict[str, Any]:
    given = dict(locals())
    return given | {"q": as_pattern(q) if q else None}


@router.post("", status_code=201, responses=problems(*_BAD_FIELDS))
async def create_task(body: TaskCreate, caller: RecordWriter, unit: Unit, response: Response) -> TaskRead:
    """Create a task."""
    given = body.model_dump()
    if "assignee_id" not in body.model_fields_set:
        given["assignee_id"] = caller.user_id
    await check_user(unit, "assignee_id", given["assignee_id"])
    zone = await records.organization_zone(unit)
    change = rules.create(given, now=unit.now, zone=zone, created_by=caller.user_id)
    await check_links(unit, change.after.links, owners=await owners_seen(unit, caller))
    records.write(unit, [change])
    response.headers["Location"] = f"/v1/tasks/{change.after.id}"
    return TaskRead.model_validate(change.after)


@router.get("", responses=problems(BadFilter))
async def list_tasks(
    caller: CurrentCaller, unit: Unit, page: Page, only: Annotated[dict[str, Any], Depends(_filter)], wish: Wished
) -> PageOf[TaskRead]:
    """List the tasks you see, newest first."""
    given = {**only, "owners": await owners_seen(unit, caller)}
    ask = await asked(unit, wish, "task", records.FIELDS)
    rows, cursor = await read_page(unit, records.TASKS, given, page=page, ask=ask)
    return PageOf(items=[TaskRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{task_id}", responses=problems(NotFound))
async def read_task(task_id: UUID, caller: CurrentCaller, unit: Unit) -> TaskRead:
    """Read a task."""
    return TaskRead.model_validate(await records.read_task(unit, task_id, owners=await owners_seen(unit, caller)))


@router.patch("/{task_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired, *_BAD_FIELDS))
async def update_task(task_id: UUID, body: TaskUpdate, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> TaskRead:
    """Change a task."""
    owners = await owners_seen(unit, caller)
    task, zone = await records.lock_task(unit, task_id, owners=owners, expected_version=if_match)
    change = rules.update(task, body.model_dump(exclude_unset=True), now=unit.now, zone=zone)
    if change is None:
        return TaskRead.model_validate(task)
    if change.after.assignee_id != task.assignee_id:
        await check_user(unit, "assignee_id", change.after.assignee_id)
    if change.after.links != task.links:
        await check_links(unit, change.after.links, owners=owners)
    records.write(unit, [change])
    return TaskRead.model_validate(change.after)


@router.post("/{task_id}/complete", responses=problems(NotFound, PreconditionFailed, rules.TaskIsCompleted))
async def complete_task(task_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch) -> TaskRead:
    """Say that a task is done. One that recurs makes the next, which is in the list from then on."""
    owners = await owners_seen(unit, caller)
    task, zone = await records.lock_task(unit, task_id, owners=owners, expected_version=if_match)
    changes = rules.complete(task, now=unit.now, zone=zone)
    records.write(unit, changes)
    return TaskRead.model_validate(changes[0].after)


@router.post("/{task_id}/reopen", responses=problems(NotFound, PreconditionFailed, rules.TaskIsOpen))
async def reopen_task(task_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch) -> TaskRead:
    """Take back that a task is done. A following one that this made stays."""
    owners = await owners_seen(unit, caller)
    task, _ = await records.lock_task(unit, task_id, owners=owners, expected_version=if_match)
    change = rules.reopen(task, now=unit.now)
    records.write(unit, [change])
    return TaskRead.model_validate(change.after)


@router.delete("/{task_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_task(task_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> None:
    """Delete a task."""
    owners = await owners_seen(unit, caller)
    task, _ = await records.lock_task(unit, task_id, owners=owners, expected_version=if_match)
    records.write(unit, [rules.delete(task, now=unit.now)])
