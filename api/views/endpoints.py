"""`/v1/views`: saved views of lists."""

from typing import Literal
from uuid import UUID

from fastapi import Response

from api.edge.dependencies import CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.constraints import UnknownReference
from api.kernel.errors import Forbidden, NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.filters import BadFilter
from api.views import records, rules
from api.views.schemas import ViewCreate, ViewRead, ViewUpdate

router = slice_router(prefix="/views", tags=["views"])


@router.get("")
async def list_views(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    record_kind: Literal["contact", "company", "deal", "task"] | None = None,
) -> PageOf[ViewRead]:
    """List your views and those shared with you, oldest first."""
    given = {"record_kind": record_kind, "viewer_id": caller.user_id}
    rows, cursor = await read_page(unit, records.VIEWS, given, page=page)
    return PageOf(items=[ViewRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("", status_code=201, responses=problems(BadFilter, UnknownReference))
async def create_view(body: ViewCreate, caller: CurrentCaller, unit: Unit, response: Response) -> ViewRead:
    """Save a view."""
    change = rules.create(body.model_dump(), now=unit.now, owner_id=caller.user_id)
    records.write(unit, change)
    response.headers["Location"] = f"/v1/views/{change.after.id}"
    return ViewRead.model_validate(change.after)


@router.get("/{view_id}", responses=problems(NotFound))
async def read_view(view_id: UUID, caller: CurrentCaller, unit: Unit) -> ViewRead:
    """Read a view."""
    return ViewRead.model_validate(await records.find_view(unit, view_id, viewer_id=caller.user_id))


@router.patch(
    "/{view_id}",
    responses=problems(NotFound, Forbidden, PreconditionFailed, PreconditionRequired, BadFilter, UnknownReference),
)
async def update_view(
    view_id: UUID, body: ViewUpdate, caller: CurrentCaller, unit: Unit, if_match: IfMatch
) -> ViewRead:
    """Change a view of one's own."""
    found = await records.find_view(unit, view_id, viewer_id=caller.user_id, is_locked=True)
    view = expect(found, "view", version=if_match)
    change = rules.update(view, body.model_dump(exclude_unset=True), now=unit.now, caller_id=caller.user_id)
    if change is not None:
        records.write(unit, change)
    return ViewRead.model_validate(change.after if change else view)


@router.delete(
    "/{view_id}", status_code=204, responses=problems(NotFound, Forbidden, PreconditionFailed, PreconditionRequired)
)
async def delete_view(view_id: UUID, caller: CurrentCaller, unit: Unit, if_match: IfMatch) -> None:
    """Delete a view of one's own."""
    found = await records.find_view(unit, view_id, viewer_id=caller.user_id, is_locked=True)
    rules.check_owner(expect(found, "view", version=if_match), caller.user_id)
    records.remove(unit, found)
