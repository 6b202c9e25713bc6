"""Teams that a users file speaks of: a tree by name, managers, and who is a member since when."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from api.identity.rules import User
from api.imports.batch import Batch
from api.imports.people import EVER
from api.teams.records import hold_roster, write_changes
from api.teams.rules import LONGEST_NAME, Changes, Roster, Team, add_member, create_team, update_team


class TeamNameError(ValueError):
    """A team's name that cannot be one."""


class TeamsOfFile:
    """What a file says of teams, decided by their rules, and written at the end."""

    def __init__(self, batch: Batch, roster: Roster) -> None:
        self._batch, self._roster = batch, roster
        self._changes: Changes = []

    @classmethod
    async def hold(cls, batch: Batch) -> "TeamsOfFile":
        """Read the organization's teams and who is in them; nobody else rearranges them meanwhile."""
        return cls(batch, await hold_roster(batch.unit))

    def path(self, text: str) -> Team:
        """The team at the end of `Sales/East`; levels that are missing are made.

        Raises:
            TeamNameError: a level has no name or too long a one.
        """
        names = [name.strip() for name in text.split("/")]
        if any(not 0 < len(name) <= LONGEST_NAME for name in names):
            raise TeamNameError
        team = self._at(names[0], parent=None)
        for name in names[1:]:
            team = self._at(name, parent=team)
        return team

    def with_managers(self, team: Team, managers: Iterable[User]) -> dict[UUID, Team]:
        """Which team each manager leads: the team itself, or one below it where there are several managers."""
        several = list(managers)
        led: dict[UUID, Team] = {}
        for manager in several:
            name = f"{manager.name[: max(1, LONGEST_NAME - len(team.name) - 3)]} ({team.name})"[:LONGEST_NAME]
            if self._roster.named(name) is not None or len(several) > 1:
                led[manager.id] = self._at(name, parent=team, manager=manager)
            else:
                self._set_manager(team, manager)
                led[manager.id] = team
        return led

    def enrol(self, user: User, team: Team, *, since: datetime | None) -> bool:
        """Put a user into a team; False where the user is there already.

        Without a date a first team is one for ever. A date before what is known of the past gives way to it.
        """
        free_from = self._roster.free_from(user.id)
        start = since or (EVER if free_from is None else self._batch.run.learned_at)
        start = start if free_from is None else max(start, free_from)
        changes = add_member(self._roster, self._batch.unit.now, team_id=team.id, user_id=user.id, occurred_at=start)
        self._decide(changes)
        return bool(changes)

    def write(self) -> None:
        """Queue what was decided."""
        write_changes(self._batch.unit, self._changes)

    def _at(self, name: str, *, parent: Team | None, manager: User | None = None) -> Team:
        known = self._roster.named(name)
        if known is not None:
            return known
        change = create_team(
            self._roster,
            self._batch.unit.now,
            name=name,
            parent_team_id=parent.id if parent else None,
            manager_id=manager.id if manager else None,
            occurred_at=EVER,
        )
        self._decide([change])
        self._batch.note_created("teams", [name])
        return change.after

    def _set_manager(self, team: Team, manager: User) -> None:
        present = self._roster.teams[team.id]
        is_first = present.manager_id is None and present.version == 1
        at = EVER if is_first else self._batch.run.learned_at
        changes = {"manager_id": manager.id}
        self._decide(update_team(self._roster, self._batch.unit.now, team_id=team.id, changes=changes, occurred_at=at))

    def _decide(self, changes: Changes) -> None:
        self._roster.apply(changes)
        self._changes += changes
