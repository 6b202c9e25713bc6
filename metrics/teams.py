"""The tree of teams as known at `as_of`: which team is at the root of another, and where each user is now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.session import Session
from metrics.viewer import Viewer


@dataclass(frozen=True)
class Teams:
    """Root of each team, and the team of each user, valid and known at one instant."""

    roots: Mapping[UUID, UUID] = field(default_factory=dict)
    of_user: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[UUID, UUID | None] = field(default_factory=dict)

    def people_of(self, team: UUID) -> frozenset[UUID]:
        """Who is in a team, or in one below it."""
        return frozenset(UUID(user) for user, own in self.of_user.items() if team in above(UUID(own), self.parents))


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
    roots = {team: above(team, parents)[-1] for team in parents}
    return Teams(roots=roots, of_user=members, parents=parents)


def above(team: UUID, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """A team and all above it, the root last."""
    found = [team]
    while (parent := parents.get(found[-1])) is not None and parent not in found:
        found.append(parent)
    return found
