"""`/v1/teams`: the tree, and who is in which team."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.fields import Instant
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.teams import records, rules
from api.teams.schemas import MemberAdd, MemberRead, TeamCreate, TeamRead, TeamUpdate

router = slice_router(prefix="/teams", tags=["teams"])


@router.get("")
async def list_teams(caller: CurrentCaller, page: Page, unit: Unit, is_active: bool | None = None) -> PageOf[TeamRead]:
    """Teams, oldest first. The tree is in `parent_team_id`."""
    teams, next_cursor = await read_page(unit, records.TEAMS, {"is_active": is_active}, page=page)
    return PageOf(items=[TeamRead.model_validate(team) for team in teams], next_cursor=next_cursor)


@router.post("", status_code=201, responses=problems(rules.TeamNameTaken, rules.TeamClosed))
async def create_team(body: TeamCreate, caller: Administrator, unit: Unit) -> TeamRead:
    """Make a team."""
    roster = await records.hold_roster(unit)
    change = rules.create_team(roster, unit.now, **body.model_dump())
    records.write_changes(unit, [change])
    return TeamRead.model_validate(change.after)


@router.get("/{team_id}", responses=problems(NotFound))
async def read_team(team_id: UUID, caller: CurrentCaller, unit: Unit) -> TeamRead:
    """One team."""
    return TeamRead.model_validate(await records.find_team(unit, team_id))


@router.patch(
    "/{team_id}",
    responses=problems(
        NotFound,
        rules.TeamNameTaken,
        rules.TeamCycle,
        rules.TeamClosed,
        rules.TeamHasSubteams,
        PreconditionFailed,
        PreconditionRequired,
    ),
)
async def update_team(
    team_id: UUID, body: TeamUpdate, caller: Administrator, if_match: IfMatch, unit: Unit
) -> TeamRead:
    """Rename, move, close or reopen a team, or change its manager."""
    sent = body.model_dump(exclude_unset=True)
    occurred_at = sent.pop("occurred_at", None)
    roster = await records.hold_roster(unit)
    changes = rules.update_team(
        roster, unit.now, team_id=team_id, changes=sent, expected_version=if_match, occurred_at=occurred_at
    )
    records.write_changes(unit, changes)
    roster.apply(changes)
    return TeamRead.model_validate(roster.teams[team_id])


@router.get("/{team_id}/members", responses=problems(NotFound))
async def list_team_members(
    team_id: UUID,
    caller: CurrentCaller,
    page: Page,
    unit: Unit,
    with_past: Annotated[bool, Query(description="Also memberships that have ended.")] = False,
) -> PageOf[MemberRead]:
    """Who is, or was, in a team."""
    await records.find_team(unit, team_id)
    given = {"team_id": team_id, "is_present": None if with_past else True}
    members, next_cursor = await read_page(unit, records.MEMBERS, given, page=page)
    return PageOf(items=[MemberRead.model_validate(member) for member in members], next_cursor=next_cursor)


@router.post(
    "/{team_id}/members", status_code=201, responses=problems(NotFound, rules.TeamClosed, rules.MembershipOverlap)
)
async def add_team_member(team_id: UUID, body: MemberAdd, caller: Administrator, unit: Unit) -> MemberRead:
    """Put a user into a team; their membership elsewhere ends at the same instant."""
    roster = await records.hold_roster(unit)
    changes = rules.add_member(roster, unit.now, team_id=team_id, **body.model_dump())
    records.write_changes(unit, changes)
    roster.apply(changes)
    return MemberRead.model_validate(roster.present(body.user_id))


@router.delete(
    "/{team_id}/members/{user_id}",
    status_code=204,
    response_class=Response,
    responses=problems(NotFound, rules.MembershipOverlap, PreconditionFailed, PreconditionRequired),
)
async def remove_team_member(
    team_id: UUID,
    user_id: UUID,
    caller: Administrator,
    if_match: IfMatch,
    unit: Unit,
    occurred_at: Annotated[Instant | None, Query(description="When it ended; default now.")] = None,
) -> None:
    """End a user's membership. `If-Match` is the team's ETag."""
    roster = await records.hold_roster(unit)
    changes = rules.remove_member(
        roster, unit.now, team_id=team_id, user_id=user_id, expected_version=if_match, occurred_at=occurred_at
    )
    records.write_changes(unit, changes)
