"""`/v1/notes` and `/v1/activities`: what people noted, and calls and meetings that took place."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import BaseModel

from api.activities import records, rules
from api.activities.rules import Activity
from api.activities.schemas import ActivityCreate, ActivityRead, ActivityUpdate, NoteCreate, NoteRead, NoteUpdate
from api.db.statements import as_pattern
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Unit
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.links import check_links
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from contracts.events.activities import ActivityKind

notes = slice_router(prefix="/notes", tags=["notes"])
activities = slice_router(prefix="/activities", tags=["activities"])
routers = (notes, activities)

_NOTES = (ActivityKind.NOTE,)
_LOGGED = (ActivityKind.CALL, ActivityKind.MEETING)
_CHANGE_ERRORS = (NotFound, PreconditionFailed, PreconditionRequired)
_FIELD_ERRORS = (UnknownReference, rules.NothingToRead, rules.NotYet)


async def _filter(
    author_id: UUID | None = None,
    mentioned_id: UUID | None = None,
    deal_id: UUID | None = None,
    contact_id: UUID | None = None,
    company_id: UUID | None = None,
    q: Annotated[SearchText | None, Query(description="Part of its text, in any case.")] = None,
) -> dict[str, Any]:
    return {
        "author_id": author_id,
        "mentioned": [mentioned_id] if mentioned_id else None,
        "deal_id": deal_id,
        "contact_id": contact_id,
        "company_id": company_id,
        "q": as_pattern(q) if q else None,
    }


Filter = Annotated[dict[str, Any], Depends(_filter)]


@notes.post("", status_code=201, responses=problems(*_FIELD_ERRORS))
async def create_note(body: NoteCreate, caller: RecordWriter, unit: Unit, response: Response) -> NoteRead:
    """Write a note about records, and say who should read it."""
    made = await _log(unit, caller, ActivityKind.NOTE, body)
    response.headers["Location"] = f"/v1/notes/{made.id}"
    return NoteRead.model_validate(made)


@notes.get("")
async def list_notes(caller: CurrentCaller, unit: Unit, page: Page, only: Filter) -> PageOf[NoteRead]:
    """List notes of people whose records you see, and those that mention you; newest first."""
    given = {**only, "kinds": _NOTES, **await _seen(unit, caller)}
    rows, cursor = await read_page(unit, records.ACTIVITIES, given, page=page)
    return PageOf(items=[NoteRead.model_validate(row) for row in rows], next_cursor=cursor)


@notes.get("/{note_id}", responses=problems(NotFound))
async def read_note(note_id: UUID, caller: CurrentCaller, unit: Unit) -> NoteRead:
    """Read a note."""
    seen = await _seen(unit, caller)
    return NoteRead.model_validate(await records.find_activity(unit, note_id, kinds=_NOTES, seen=seen))


@notes.patch("/{note_id}", responses=problems(*_CHANGE_ERRORS, *_FIELD_ERRORS))
async def update_note(note_id: UUID, body: NoteUpdate, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> NoteRead:
    """Change a note."""
    return NoteRead.model_validate(await _update(unit, caller, note_id, _NOTES, body, if_match))


@notes.delete("/{note_id}", status_code=204, responses=problems(*_CHANGE_ERRORS))
async def delete_note(note_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> None:
    """Delete a note."""
    await _delete(unit, caller, note_id, _NOTES, if_match)


@activities.post("", status_code=201, responses=problems(*_FIELD_ERRORS))
async def log_activity(body: ActivityCreate, caller: RecordWriter, unit: Unit, response: Response) -> ActivityRead:
    """Log a call or a meeting that took place."""
    made = await _log(unit, caller, ActivityKind(body.kind), body)
    response.headers["Location"] = f"/v1/activities/{made.id}"
    return ActivityRead.model_validate(made)


@activities.get("")
async def list_activities(
    caller: CurrentCaller, unit: Unit, page: Page, only: Filter, kind: ActivityKind | None = None
) -> PageOf[ActivityRead]:
    """List calls and meetings of people whose records you see, and those that mention you; newest logged first."""
    kinds = [one for one in _LOGGED if kind in (None, one)]
    given = {**only, "kinds": kinds, **await _seen(unit, caller)}
    rows, cursor = await read_page(unit, records.ACTIVITIES, given, page=page)
    return PageOf(items=[ActivityRead.model_validate(row) for row in rows], next_cursor=cursor)


@activities.get("/{activity_id}", responses=problems(NotFound))
async def read_activity(activity_id: UUID, caller: CurrentCaller, unit: Unit) -> ActivityRead:
    """Read a call or a meeting."""
    seen = await _seen(unit, caller)
    return ActivityRead.model_validate(await records.find_activity(unit, activity_id, kinds=_LOGGED, seen=seen))


@activities.patch("/{activity_id}", responses=problems(*_CHANGE_ERRORS, *_FIELD_ERRORS))
async def update_activity(
    activity_id: UUID, body: ActivityUpdate, caller: RecordWriter, unit: Unit, if_match: IfMatch
) -> ActivityRead:
    """Change what was logged."""
    return ActivityRead.model_validate(await _update(unit, caller, activity_id, _LOGGED, body, if_match))


@activities.delete("/{activity_id}", status_code=204, responses=problems(*_CHANGE_ERRORS))
async def delete_activity(activity_id: UUID, caller: RecordWriter, unit: Unit, if_match: IfMatch) -> None:
    """Take back what was logged."""
    await _delete(unit, caller, activity_id, _LOGGED, if_match)


async def _seen(unit: UnitOfWork, caller: Caller) -> dict[str, object]:
    return records.seen_by(caller.user_id, await owners_seen(unit, caller))


async def _log(unit: UnitOfWork, caller: Caller, kind: ActivityKind, body: BaseModel) -> Activity:
    owners = await owners_seen(unit, caller)
    change = rules.log(kind, body.model_dump(), now=unit.now, author_id=caller.user_id)
    await records.check_mentions(unit, change.after.mentions)
    await check_links(unit, change.after.links, owners=owners)
    records.write(unit, [change])
    return change.after


async def _update(
    unit: UnitOfWork,
    caller: Caller,
    activity_id: UUID,
    kinds: tuple[ActivityKind, ...],
    body: BaseModel,
    version: int,
) -> Activity:
    owners = await owners_seen(unit, caller)
    seen = records.seen_by(caller.user_id, owners)
    before = await records.find_activity(
        unit, activity_id, kinds=kinds, seen=seen, expected_version=version, is_locked=True
    )
    change = rules.update(before, body.model_dump(exclude_unset=True), now=unit.now)
    if change is None:
        return before
    if change.after.mentions != before.mentions:
        await records.check_mentions(unit, change.after.mentions)
    if change.after.links != before.links:
        await check_links(unit, change.after.links, owners=owners)
    records.write(unit, [change])
    return change.after


async def _delete(
    unit: UnitOfWork, caller: Caller, activity_id: UUID, kinds: tuple[ActivityKind, ...], version: int
) -> None:
    before = await records.find_activity(
        unit, activity_id, kinds=kinds, seen=await _seen(unit, caller), expected_version=version, is_locked=True
    )
    records.write(unit, [rules.delete(before, now=unit.now)])
