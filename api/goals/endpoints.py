"""`/v1/goals`: what people, teams and the organization are to win, by month or quarter."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response

from api.edge.dependencies import CurrentCaller, IfMatch, Unit
from api.edge.fields import Day
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.goals import records, rules
from api.goals.schemas import GoalCreate, GoalRead, GoalUpdate, Measure
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/goals", tags=["goals"])


async def _filter(
    user_id: UUID | None = None,
    team_id: UUID | None = None,
    measure: Measure | None = None,
    start: Annotated[Day | None, Query(alias="from", description="Goals that end after this day begins.")] = None,
    end: Annotated[Day | None, Query(alias="to", description="Goals that begin before this day.")] = None,
) -> dict[str, Any]:
    return {"user_id": user_id, "team_id": team_id, "measure": measure, "from": start, "to": end}


@router.post("", status_code=201, responses=problems(UnknownReference, rules.GoalOverlaps))
async def create_goal(body: GoalCreate, caller: CurrentCaller, unit: Unit, response: Response) -> GoalRead:
    """Set a goal. Goals of one person or team for one measure do not overlap."""
    given = body.model_dump(exclude={"months"}) | {"ends_on": body.ends_on}
    about = {name: given[name] for name in ("user_id", "team_id", "measure", "starts_on", "ends_on")}
    change = rules.create(await records.hold_alike(unit, **about), given, now=unit.now)
    records.write(unit, [change])
    response.headers["Location"] = f"/v1/goals/{change.after.id}"
    return GoalRead.model_validate(change.after)


@router.get("")
async def list_goals(
    caller: CurrentCaller, unit: Unit, page: Page, only: Annotated[dict[str, Any], Depends(_filter)]
) -> PageOf[GoalRead]:
    """List goals, those that begin latest first; of people, those whose records you see."""
    given = {**only, "owners": await owners_seen(unit, caller)}
    rows, cursor = await read_page(unit, records.GOALS, given, page=page)
    return PageOf(items=[GoalRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{goal_id}", responses=problems(NotFound))
async def read_goal(goal_id: UUID, caller: CurrentCaller, unit: Unit) -> GoalRead:
    """Read a goal."""
    given = {"id": goal_id, "owners": await owners_seen(unit, caller)}
    return GoalRead.model_validate(await records.find_goal(unit, given))


@router.patch("/{goal_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def update_goal(
    goal_id: UUID, body: GoalUpdate, caller: CurrentCaller, unit: Unit, if_match: IfMatch
) -> GoalRead:
    """Change a goal's target. Answers of an earlier `as_of` keep the target that was known then."""
    given = {"id": goal_id, "owners": await owners_seen(unit, caller)}
    goal = await records.find_goal(unit, given, version=if_match, lock=True)
    change = rules.update(goal, body.target, now=unit.now)
    if change is not None:
        records.write(unit, [change])
    return GoalRead.model_validate(change.after if change else goal)


@router.delete("/{goal_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_goal(goal_id: UUID, caller: CurrentCaller, unit: Unit, if_match: IfMatch) -> None:
    """Delete a goal."""
    given = {"id": goal_id, "owners": await owners_seen(unit, caller)}
    goal = await records.find_goal(unit, given, version=if_match, lock=True)
    records.write(unit, [rules.delete(goal, now=unit.now)])
