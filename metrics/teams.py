"""The tree of teams as known at `as_of`: which team is at the root of another, and where each user is now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.reader import Session
from metrics.viewer import Viewer


@dataclass(frozen=True)
class Teams:
    """Root of each team, and the team of each user, valid and known at one instant."""

    roots: Mapping[UUID, UUID] = field(default_factory=dict)
    of_user: Mapping[str, str] = field(default_factory=dict)


NO_TEAMS = Teams()


def read_teams(session: Session, viewer: Viewer, as_of: datetime) -> Teams:
    """Read the tree."""
    statement = Statement(session.dialect, viewer.organization_id)
    instant = statement.bind(as_of, "timestamptz")
    valid = [f"valid_from <= {instant} and (valid_to is null or valid_to > {instant})"]
    statement.mart("teams", Mart.DIM_TEAMS, columns="team_id, parent_team_id", known_at=as_of, conditions=valid)
    statement.mart("members", Mart.DIM_TEAM_MEMBERS, columns="team_id, user_id", known_at=as_of, conditions=valid)
    rows = session.fetch(
        statement.compile(
            "select 'team', team_id, parent_team_id from teams\n"
            "union all select 'member', team_id, user_id from members order by 1, 2, 3"
        )
    )
    parents = {team: parent for kind, team, parent in rows if kind == "team"}
    members = {str(user): str(team) for kind, team, user in rows if kind == "member"}
    return Teams(roots={team: _root(team, parents) for team in parents}, of_user=members)


def _root(team: UUID, parents: Mapping[UUID, UUID | None]) -> UUID:
    seen = {team}
    while (parent := parents.get(team)) is not None and parent not in seen:
        team = parent
        seen.add(team)
    return team
