"""`/v1/teams`: the tree, and who is in which team."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Session
from api.edge.fields import Instant
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.rows import find
from api.models.team import Team, TeamMember
from api.teams import repository, service
from api.teams.schemas import MemberAdd, MemberRead, TeamCreate, TeamRead, TeamUpdate

router = slice_router(prefix="/teams", tags=["teams"])


@router.get("")
async def list_teams(
    caller: CurrentCaller, page: Page, session: Session, is_active: bool | None = None
) -> PageOf[TeamRead]:
    """Teams, oldest first. The tree is in `parent_team_id`."""
    query = repository.teams_query(organization_id=caller.organization_id, is_active=is_active)
    teams, next_cursor = await fetch_page(session, query, page=page, id_column=Team.id)
    return PageOf(items=[TeamRead.model_validate(team) for team in teams], next_cursor=next_cursor)


@router.post("", status_code=201, responses=problems(service.TeamNameTaken, service.TeamClosed))
async def create_team(body: TeamCreate, caller: Administrator, session: Session) -> TeamRead:
    """Make a team."""
    team = await service.create_team(session, caller.context, **body.model_dump())
    return TeamRead.model_validate(team)


@router.get("/{team_id}", responses=problems(NotFound))
async def read_team(team_id: UUID, caller: CurrentCaller, session: Session) -> TeamRead:
    """One team."""
    team = await find(session, Team, organization_id=caller.organization_id, id=team_id, noun="team")
    return TeamRead.model_validate(team)


@router.patch(
    "/{team_id}",
    responses=problems(
        NotFound,
        service.TeamNameTaken,
        service.TeamCycle,
        service.TeamHasSubteams,
        PreconditionFailed,
        PreconditionRequired,
    ),
)
async def update_team(
    team_id: UUID, body: TeamUpdate, caller: Administrator, if_match: IfMatch, session: Session
) -> TeamRead:
    """Rename, move, close or reopen a team, or change its manager."""
    team = await service.update_team(session, caller.context, team_id=team_id, changes=body, expected_version=if_match)
    return TeamRead.model_validate(team)


@router.get("/{team_id}/members", responses=problems(NotFound))
async def list_team_members(
    team_id: UUID,
    caller: CurrentCaller,
    page: Page,
    session: Session,
    with_past: Annotated[bool, Query(description="Also memberships that have ended.")] = False,
) -> PageOf[MemberRead]:
    """Who is, or was, in a team."""
    await find(session, Team, organization_id=caller.organization_id, id=team_id, noun="team")
    query = repository.members_query(organization_id=caller.organization_id, team_id=team_id, with_past=with_past)
    members, next_cursor = await fetch_page(session, query, page=page, id_column=TeamMember.id)
    return PageOf(items=[MemberRead.model_validate(member) for member in members], next_cursor=next_cursor)


@router.post(
    "/{team_id}/members",
    status_code=201,
    responses=problems(NotFound, service.TeamClosed, service.MembershipOverlap),
)
async def add_team_member(team_id: UUID, body: MemberAdd, caller: Administrator, session: Session) -> MemberRead:
    """Put a user into a team; their membership elsewhere ends at the same instant."""
    member = await service.add_member(session, caller.context, team_id=team_id, **body.model_dump())
    return MemberRead.model_validate(member)


@router.delete(
    "/{team_id}/members/{user_id}",
    status_code=204,
    response_class=Response,
    responses=problems(NotFound, service.MembershipOverlap, PreconditionFailed, PreconditionRequired),
)
async def remove_team_member(
    team_id: UUID,
    user_id: UUID,
    caller: Administrator,
    if_match: IfMatch,
    session: Session,
    occurred_at: Annotated[Instant | None, Query(description="When it ended; default now.")] = None,
) -> None:
    """End a user's membership. `If-Match` is the team's ETag."""
    await service.remove_member(
        session,
        caller.context,
        team_id=team_id,
        user_id=user_id,
        occurred_at=occurred_at,
        expected_version=if_match,
    )
