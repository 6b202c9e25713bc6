"""Statements of teams and of who is in them."""

from uuid import UUID

from sqlalchemy import Boolean, bindparam, text

from api.db.statements import compiled
from api.kernel.constraints import Problems, unknown
from api.kernel.listing import Listing
from api.kernel.states import as_states, only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.team import Team as TeamRow
from api.models.team import TeamMember
from api.teams.rules import Changes, Membership, MembershipOverlap, Roster, Team, TeamNameTaken

_PROBLEMS: Problems = {
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
_TEAMS, _MEMBERSHIPS = rows_of(Team, TeamRow), rows_of(Membership, TeamMember)
_ALL_TEAMS, _ALL_MEMBERSHIPS = compiled(_TEAMS), compiled(_MEMBERSHIPS)
_TEAM = compiled(_TEAMS.where(TeamRow.id == bindparam("team_id")))
TEAMS = Listing(_TEAMS, filters={"is_active": TeamRow.is_active == bindparam("is_active")}, order=(TeamRow.id,))
MEMBERS = Listing(
    _MEMBERSHIPS,
    filters={
        "team_id": TeamMember.team_id == bindparam("team_id"),
        "is_present": TeamMember.ended_at.is_(None) & bindparam("is_present", type_=Boolean),
    },
    order=(TeamMember.id,),
)


async def hold_roster(unit: UnitOfWork) -> Roster:
    """All teams and all times in them; nobody else rearranges them until the transaction ends."""
    _, teams, times = await unit.fetch_all(_HOLD_TREE.bind(), _ALL_TEAMS.bind(), _ALL_MEMBERSHIPS.bind())
    return Roster(as_states(Team, teams), as_states(Membership, times))


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
