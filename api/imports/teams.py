"""Teams that a users file speaks of: a tree by name, managers, and who is a member since when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from api.imports.batch import Batch
from api.imports.people import EVER
from api.kernel.event_log import NewEvent
from api.models.team import Team, TeamMember
from api.models.user import User
from contracts.events.envelope import Event
from contracts.events.identity import TeamCreated, TeamMemberAdded, TeamMemberRemoved, TeamUpdated

_LONGEST_NAME = 120


class TeamNameError(ValueError):
    """A team's name that cannot be one."""


@dataclass
class Roster:
    """Active teams by lower-case name, locked, and each user's times in teams."""

    batch: Batch
    teams: dict[str, Team]
    memberships: dict[UUID, list[TeamMember]]

    @classmethod
    async def load(cls, batch: Batch) -> "Roster":
        """Lock the organization's teams and read who is in them."""
        of_team = select(Team).where(Team.organization_id == batch.organization_id, Team.is_active)
        teams = (await batch.session.scalars(of_team.order_by(Team.id).with_for_update())).all()
        memberships: dict[UUID, list[TeamMember]] = {}
        of_member = select(TeamMember).where(TeamMember.organization_id == batch.organization_id)
        for member in await batch.session.scalars(of_member.order_by(TeamMember.started_at)):
            memberships.setdefault(member.user_id, []).append(member)
        return cls(batch, {team.name.lower(): team for team in teams}, memberships)

    def path(self, text: str) -> Team:
        """The team at the end of `Sales/East`; levels that are missing are made.

        Raises:
            TeamNameError: a level has no name or too long a one.
        """
        names = [name.strip() for name in text.split("/")]
        if any(not 0 < len(name) <= _LONGEST_NAME for name in names):
            raise TeamNameError
        team: Team | None = None
        for name in names:
            team = self.teams.get(name.lower()) or self._create(name, parent=team)
        if team is None:
            raise TeamNameError
        return team

    def with_managers(self, team: Team, managers: Iterable[User]) -> dict[UUID, Team]:
        """Which team each manager leads: the team itself, or one below it where there are several managers."""
        several = list(managers)
        led: dict[UUID, Team] = {}
        for manager in several:
            name = f"{manager.name[: _LONGEST_NAME - len(team.name) - 3]} ({team.name})"
            below = self.teams.get(name.lower())
            if below is not None or len(several) > 1:
                led[manager.id] = below or self._create(name, parent=team, manager=manager)
            else:
                self._set_manager(team, manager)
                led[manager.id] = team
        return led

    def enrol(self, user: User, team: Team, *, since: datetime | None) -> bool:
        """Put a user into a team; False where the user is there already. A user is in one team at a time."""
        times = self.memberships.setdefault(user.id, [])
        present = next((member for member in times if member.ended_at is None), None)
        if present is not None and present.team_id == team.id:
            return False
        start = since or (self.batch.run.learned_at if times else EVER)
        # times in teams do not overlap: what is known of the past stays
        start = max([start, *(member.ended_at or member.started_at for member in times)])
        if present is not None:
            present.ended_at = start
            left = next((one for one in self.teams.values() if one.id == present.team_id), None)
            if left is not None:
                self._emit(left, TeamMemberRemoved(user_id=user.id), start)
        member = TeamMember(
            organization_id=user.organization_id, id=uuid7(), team_id=team.id, user_id=user.id, started_at=start
        )
        self.batch.session.add(member)
        times.append(member)
        self._emit(team, TeamMemberAdded(user_id=user.id), start)
        return True

    def _create(self, name: str, *, parent: Team | None, manager: User | None = None) -> Team:
        team = Team(
            organization_id=self.batch.organization_id,
            id=uuid7(),
            version=0,
            name=name,
            parent_team_id=parent.id if parent else None,
            manager_id=manager.id if manager else None,
            is_active=True,
        )
        self.teams[name.lower()] = team
        self.batch.session.add(team)
        self.batch.note_created("teams", [name])
        self._emit(team, TeamCreated(parent_team_id=team.parent_team_id, manager_id=team.manager_id), EVER)
        return team

    def _set_manager(self, team: Team, manager: User) -> None:
        if team.manager_id == manager.id:
            return
        is_first = team.manager_id is None and team.version == 1
        team.manager_id = manager.id
        updated = TeamUpdated(parent_team_id=team.parent_team_id, manager_id=manager.id, is_active=team.is_active)
        self._emit(team, updated, EVER if is_first else self.batch.run.learned_at)

    def _emit(self, team: Team, event: Event, occurred_at: datetime) -> None:
        team.version += 1
        self.batch.emit(
            NewEvent(event=event, aggregate_id=team.id, aggregate_version=team.version, occurred_at=occurred_at)
        )
