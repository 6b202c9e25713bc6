"""`/v1/watches`: the figures that one keeps an eye on."""

from typing import Any
from uuid import UUID

from fastapi import Response

from api.edge.dependencies import CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.metrics.errors import InvalidParameter, UnknownMetric
from api.watches import records, rules
from api.watches.asking import CannotWatch, check
from api.watches.schemas import WatchCreate, WatchRead, WatchUpdate

router = slice_router(prefix="/watches", tags=["watches"])


@router.post(
    "", status_code=201, responses=problems(UnknownMetric, InvalidParameter, CannotWatch, rules.TooManyWatches)
)
async def create_watch(body: WatchCreate, caller: CurrentCaller, unit: Unit, response: Response) -> WatchRead:
    """Watch a figure. It is recorded whenever a publication changes it, first within seconds."""
    check(body.metric, body.measure, body.question, body.period)
    zone, _ = await records.calendar_of(unit)
    known = await records.count_of(unit, caller.user_id)
    change = rules.create(body.model_dump(), now=unit.now, zone=zone, user_id=caller.user_id, known=known)
    records.write(unit, [change])
    records.wake(unit)
    response.headers["Location"] = f"/v1/watches/{change.after.id}"
    return WatchRead.model_validate(change.after)


@router.get("")
async def list_watches(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[WatchRead]:
    """List the figures you watch, oldest first."""
    rows, cursor = await read_page(unit, records.WATCHES, {"user_id": caller.user_id}, page=page)
    return PageOf(items=[WatchRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{watch_id}", responses=problems(NotFound))
async def read_watch(watch_id: UUID, caller: CurrentCaller, unit: Unit) -> WatchRead:
    """Read a figure you watch."""
    return WatchRead.model_validate(await records.find(unit, watch_id, user_id=caller.user_id))


@router.patch("/{watch_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired, rules.HalfAnAlarm))
async def update_watch(
    watch_id: UUID, body: WatchUpdate, caller: CurrentCaller, unit: Unit, if_match: IfMatch
) -> WatchRead:
    """Change when you are told. An alarm is judged anew."""
    watch = await records.find(unit, watch_id, user_id=caller.user_id, version=if_match, lock=True)
    zone, _ = await records.calendar_of(unit)
    given: dict[str, Any] = body.model_dump(exclude_unset=True)
    change = rules.update(watch, given, now=unit.now, zone=zone)
    if change is not None:
        records.write(unit, [change])
        records.wake(unit)
    return WatchRead.model_validate(change.after if change else watch)


@router.delete("/{watch_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_watch(watch_id: UUID, caller: CurrentCaller, unit: Unit, if_match: IfMatch) -> None:
    """Stop watching a figure."""
    watch = await records.find(unit, watch_id, user_id=caller.user_id, version=if_match, lock=True)
    records.write(unit, [rules.delete(watch, now=unit.now)])
