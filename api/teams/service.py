"""Rules of teams: the tree has no cycles, and a user is in one team at a time.

Who rearranges the tree or its members holds the organization's tree for the rest of the transaction: it happens a few
times a week, and so no two rearrangements can contradict each other.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.kernel.constraints import explained, unknown
from api.kernel.context import Context
from api.kernel.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from api.kernel.event_log import append
from api.kernel.rows import lock
from api.models.team import Team, TeamMember
from api.teams import repository
from api.teams.schemas import TeamUpdate
from contracts.events.identity import TeamCreated, TeamMemberAdded, TeamMemberRemoved, TeamUpdated

#: How far a caller's clock may run ahead of ours.
_CLOCK_SKEW = timedelta(minutes=5)


class TeamNameTaken(Conflict):
    """Another open team has this name."""

    code = "team_name_taken"

    def __init__(self) -> None:
        super().__init__("Another open team has this name.")


class TeamCycle(Conflict):
    """A team cannot lie below itself."""

    code = "team_cycle"

    def __init__(self) -> None:
        super().__init__("A team cannot be moved below itself.")


class TeamHasSubteams(Conflict):
    """A team with open teams below cannot be closed."""

    code = "team_has_subteams"

    def __init__(self) -> None:
        super().__init__("Close or move the teams below it first.")


class TeamClosed(Conflict):
    """A closed team takes no members and no teams."""

    code = "team_closed"

    def __init__(self) -> None:
        super().__init__("This team is closed.")


class MembershipOverlap(Conflict):
    """The user is in a team at that time."""

    code = "membership_overlap"

    def __init__(self) -> None:
        super().__init__("The user was in a team at that time already; a change cannot lie before it.")


class InTheFuture(Unprocessable):
    """Facts have happened."""

    code = "in_the_future"

    def __init__(self) -> None:
        super().__init__("occurred_at lies in the future.", pointer="/occurred_at")


_PROBLEMS = {
    "uq_teams_name": TeamNameTaken,
    "fk_teams_parent_team_id": unknown("parent_team_id", "team"),
    "fk_teams_manager_id": unknown("manager_id", "user"),
    "fk_team_members_user_id": unknown("user_id", "user"),
    "ex_team_members_one_team": MembershipOverlap,
    "ck_team_members_interval": MembershipOverlap,
}


async def create_team(
    session: AsyncSession,
    context: Context,
    *,
    name: str,
    parent_team_id: UUID | None = None,
    manager_id: UUID | None = None,
    occurred_at: datetime | None = None,
) -> Team:
    """Make a team.

    Raises:
        TeamNameTaken, TeamClosed, UnknownReference, InTheFuture: as they say.
    """
    _refuse_future(occurred_at)
    await repository.hold_tree(session, organization_id=context.organization_id)
    if parent_team_id is not None:
        await _require_open(session, context, parent_team_id)
    team = Team(
        organization_id=context.organization_id,
        id=uuid7(),
        name=name,
        parent_team_id=parent_team_id,
        manager_id=manager_id,
        is_active=True,
    )
    session.add(team)
    with explained(_PROBLEMS):
        await session.flush()
    event = TeamCreated(parent_team_id=parent_team_id, manager_id=manager_id)
    await append(session, event, context=context, aggregate=team, occurred_at=occurred_at)
    await session.flush()
    return team


async def update_team(
    session: AsyncSession, context: Context, *, team_id: UUID, changes: TeamUpdate, expected_version: int
) -> Team:
    """Rename, move, close or reopen a team, or change its manager.

    Raises:
        NotFound, PreconditionFailed, TeamNameTaken, TeamCycle, TeamHasSubteams, TeamClosed, UnknownReference,
        InTheFuture: as they say.
    """
    changed = changes.model_dump(exclude_unset=True)
    occurred_at = changed.pop("occurred_at", None)
    _refuse_future(occurred_at)
    await repository.hold_tree(session, organization_id=context.organization_id)
    team = await lock(
        session,
        Team,
        organization_id=context.organization_id,
        id=team_id,
        noun="team",
        expected_version=expected_version,
    )
    changed = {field: value for field, value in changed.items() if getattr(team, field) != value}
    if not changed:
        return team
    if changed.get("parent_team_id") is not None:
        await _require_place(session, context, team=team, parent_team_id=changed["parent_team_id"])
    if changed.get("is_active") is False:
        await _close(session, context, team=team, occurred_at=occurred_at)
    for field, value in changed.items():
        setattr(team, field, value)
    with explained(_PROBLEMS):
        await session.flush()
    event = TeamUpdated(parent_team_id=team.parent_team_id, manager_id=team.manager_id, is_active=team.is_active)
    await append(session, event, context=context, aggregate=team, occurred_at=occurred_at)
    await session.flush()
    return team


async def add_member(
    session: AsyncSession, context: Context, *, team_id: UUID, user_id: UUID, occurred_at: datetime | None = None
) -> TeamMember:
    """Put a user into a team from `occurred_at` on; a membership elsewhere ends at that instant.

    Raises:
        NotFound, TeamClosed, MembershipOverlap, UnknownReference, InTheFuture: as they say.
    """
    _refuse_future(occurred_at)
    await repository.hold_tree(session, organization_id=context.organization_id)
    current = await repository.current_membership(session, organization_id=context.organization_id, user_id=user_id)
    involved = {team_id} | ({current.team_id} if current else set())
    teams = await repository.lock_teams(session, organization_id=context.organization_id, ids=involved)
    if team_id not in teams:
        raise NotFound("team")
    if not teams[team_id].is_active:
        raise TeamClosed
    if current is not None and current.team_id == team_id:
        return current
    since = occurred_at or datetime.now(UTC)
    if current is not None:
        await _end(session, context, membership=current, team=teams[current.team_id], at=since)
    member = TeamMember(
        organization_id=context.organization_id, id=uuid7(), team_id=team_id, user_id=user_id, started_at=since
    )
    session.add(member)
    with explained(_PROBLEMS):
        await session.flush()
    event = TeamMemberAdded(user_id=user_id)
    await append(session, event, context=context, aggregate=teams[team_id], occurred_at=since)
    await session.flush()
    return member


async def remove_member(
    session: AsyncSession,
    context: Context,
    *,
    team_id: UUID,
    user_id: UUID,
    occurred_at: datetime | None = None,
    expected_version: int | None = None,
) -> Team:
    """End a user's membership. Answers the team.

    Raises:
        NotFound, PreconditionFailed, MembershipOverlap, InTheFuture: as they say.
    """
    _refuse_future(occurred_at)
    await repository.hold_tree(session, organization_id=context.organization_id)
    teams = await repository.lock_teams(session, organization_id=context.organization_id, ids={team_id})
    current = await repository.current_membership(session, organization_id=context.organization_id, user_id=user_id)
    if team_id not in teams or current is None or current.team_id != team_id:
        raise NotFound("member of this team")
    team = teams[team_id]
    if expected_version is not None and team.version != expected_version:
        raise PreconditionFailed
    await _end(session, context, membership=current, team=team, at=occurred_at or datetime.now(UTC))
    await session.flush()
    return team


async def _end(session: AsyncSession, context: Context, *, membership: TeamMember, team: Team, at: datetime) -> None:
    if at < membership.started_at:
        raise MembershipOverlap
    membership.ended_at = at
    event = TeamMemberRemoved(user_id=membership.user_id)
    await append(session, event, context=context, aggregate=team, occurred_at=at)
    await session.flush()


async def _close(session: AsyncSession, context: Context, *, team: Team, occurred_at: datetime | None) -> None:
    if await repository.has_active_children(session, team=team):
        raise TeamHasSubteams
    at = occurred_at or datetime.now(UTC)
    for membership in await repository.current_memberships(session, team=team):
        await _end(session, context, membership=membership, team=team, at=at)


async def _require_place(session: AsyncSession, context: Context, *, team: Team, parent_team_id: UUID) -> None:
    await _require_open(session, context, parent_team_id)
    if await repository.is_below(
        session, organization_id=context.organization_id, team_id=parent_team_id, ancestor_id=team.id
    ):
        raise TeamCycle


async def _require_open(session: AsyncSession, context: Context, team_id: UUID) -> None:
    """Whether it exists is the foreign key's affair."""
    found = await repository.lock_teams(session, organization_id=context.organization_id, ids={team_id})
    if team_id in found and not found[team_id].is_active:
        raise TeamClosed


def _refuse_future(occurred_at: datetime | None) -> None:
    if occurred_at is not None and occurred_at > datetime.now(UTC) + _CLOCK_SKEW:
        raise InTheFuture
