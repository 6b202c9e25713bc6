"""Statements of teams and of who is in them."""

from uuid import UUID

from sqlalchemy import Boolean, bindparam, or_, select, text

from api.db.statements import Bound, compiled
from api.kernel.constraints import unknown
from api.kernel.listing import Listing
from api.kernel.states import as_state, columns_of, only
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.team import Team as TeamRow
from api.models.team import TeamMember
from api.teams.rules import Changes, Membership, MembershipOverlap, Roster, Team, TeamNameTaken

_PROBLEMS = {
    "uq_teams_name": TeamNameTaken,
    "fk_teams_manager_id": unknown("manager_id", "user"),
    "fk_team_members_user_id": unknown("user_id", "user"),
    "ex_team_members_one_team": MembershipOverlap,
    "ck_team_members_interval": MembershipOverlap,
}
_TABLES = {Team: TeamRow, Membership: TeamMember}

_HOLD_TREE = compiled(
    text("select pg_advisory_xact_lock(hashtextextended('teams:' || cast(:organization_id as text), 0))")
)
_SELECT_TEAMS = select(*columns_of(Team, TeamRow)).where(TeamRow.organization_id == bindparam("organization_id"))
_TEAMS = compiled(_SELECT_TEAMS)
_TEAM = compiled(_SELECT_TEAMS.where(TeamRow.id == bindparam("team_id")))
TEAMS = Listing(_SELECT_TEAMS, filters={"is_active": TeamRow.is_active == bindparam("is_active")}, order=(TeamRow.id,))
_MEMBERSHIPS = select(*columns_of(Membership, TeamMember)).where(
    TeamMember.organization_id == bindparam("organization_id")
)
_ALL_MEMBERSHIPS = compiled(_MEMBERSHIPS)
_MEMBERSHIPS_OF = compiled(
    _MEMBERSHIPS.where(
        or_(
            TeamMember.user_id == bindparam("user_id"),
            (TeamMember.team_id == bindparam("team_id")) & TeamMember.ended_at.is_(None),
        )
    )
)
MEMBERS = Listing(
    _MEMBERSHIPS,
    filters={
        "team_id": TeamMember.team_id == bindparam("team_id"),
        "is_present": TeamMember.ended_at.is_(None) & bindparam("is_present", type_=Boolean),
    },
    order=(TeamMember.id,),
)


async def hold_roster(unit: UnitOfWork, *, user_id: UUID | None = None, team_id: UUID | None = None) -> Roster:
    """All teams, with a user's times and a team's members; nobody else rearranges them until the transaction ends."""
    return await _hold(unit, _MEMBERSHIPS_OF.bind(user_id=user_id, team_id=team_id))


async def hold_whole_roster(unit: UnitOfWork) -> Roster:
    """The same with all times of all users."""
    return await _hold(unit, _ALL_MEMBERSHIPS.bind())


async def _hold(unit: UnitOfWork, memberships: Bound) -> Roster:
    _, teams, times = await unit.fetch_all(_HOLD_TREE.bind(), _TEAMS.bind(), memberships)
    return Roster((as_state(Team, row) for row in teams), (as_state(Membership, row) for row in times))


def write_changes(unit: UnitOfWork, changes: Changes) -> None:
    """Queue what was decided."""
    unit.explain(_PROBLEMS)
    write(unit, changes, _TABLES)


async def find_team(unit: UnitOfWork, team_id: UUID) -> Team:
    """One team.

    Raises:
        NotFound: no such team here.
    """
    return only(Team, await unit.fetch(_TEAM, team_id=team_id), "team")
