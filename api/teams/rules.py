"""Rules of teams: the tree has no cycles, names of open teams differ, and a user is in one team at a time. No I/O.

Who rearranges the tree or its members holds the organization's tree for the rest of the transaction: it happens a few
times a week, and so no two rearrangements can contradict each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel.changes import Change, Versioned, expect, revised
from api.kernel.constraints import UnknownReference
from api.kernel.errors import Conflict, NotFound, Unprocessable
from contracts.events.identity import TeamCreated, TeamMemberAdded, TeamMemberRemoved, TeamUpdated

LONGEST_NAME = 120
#: How far a caller's clock may run ahead of ours.
_CLOCK_SKEW = timedelta(minutes=5)


class TeamNameTaken(Conflict):
    """Another open team has this name."""

    code, detail = "team_name_taken", "Another open team has this name."


class TeamCycle(Conflict):
    """A team cannot lie below itself."""

    code, detail = "team_cycle", "A team cannot be moved below itself."


class TeamHasSubteams(Conflict):
    """A team with open teams below cannot be closed."""

    code, detail = "team_has_subteams", "Close or move the teams below it first."


class TeamClosed(Conflict):
    """A closed team takes no members and no teams."""

    code, detail = "team_closed", "This team is closed."


class MembershipOverlap(Conflict):
    """The user is in a team at that time."""

    code = "membership_overlap"
    detail = "The user was in a team at that time already; a change cannot lie before it."


class InTheFuture(Unprocessable):
    """Facts have happened."""

    code, detail = "in_the_future", "occurred_at lies in the future."
    pointer = "/occurred_at"


@dataclass(frozen=True, kw_only=True)
class Team(Versioned):
    """One team. Its manager need not be a member."""

    name: str
    parent_team_id: UUID | None = None
    manager_id: UUID | None = None
    is_active: bool = True


@dataclass(frozen=True, kw_only=True)
class Membership:
    """A user's time in a team: half-open, `ended_at` null while it lasts."""

    id: UUID
    team_id: UUID
    user_id: UUID
    started_at: datetime
    ended_at: datetime | None = None


Changes = list[Change[Team] | Change[Membership]]


class Roster:
    """All teams of an organization, and times of its users in them: what the rules read, moved on by `apply`."""

    def __init__(self, teams: Iterable[Team], memberships: Iterable[Membership]) -> None:
        self.teams = {team.id: team for team in teams}
        self._times: dict[UUID, dict[UUID, Membership]] = {}
        for membership in memberships:
            self._times.setdefault(membership.user_id, {})[membership.id] = membership

    def named(self, name: str) -> Team | None:
        """The open team with this name, whatever its case."""
        wanted = name.lower()
        return next((team for team in self.teams.values() if team.is_active and team.name.lower() == wanted), None)

    def present(self, user_id: UUID) -> Membership | None:
        """The membership that a user has now."""
        return next((one for one in self._times.get(user_id, {}).values() if one.ended_at is None), None)

    def free_from(self, user_id: UUID, *, without: Membership | None = None) -> datetime | None:
        """The first instant at which a user may join another team: what is known of the past stays. None: any."""
        times = [one for one in self._times.get(user_id, {}).values() if one != without]
        return max((one.ended_at or one.started_at for one in times), default=None)

    def members(self, team_id: UUID) -> list[Membership]:
        """Who is in a team now."""
        every = (one for times in self._times.values() for one in times.values())
        return [one for one in every if one.team_id == team_id and one.ended_at is None]

    def apply(self, changes: Changes) -> None:
        """Move on to what was decided."""
        for change in changes:
            if isinstance(change.after, Team):
                self.teams[change.after.id] = change.after
            else:
                self._times.setdefault(change.after.user_id, {})[change.after.id] = change.after


def create_team(
    roster: Roster,
    now: datetime,
    *,
    name: str,
    parent_team_id: UUID | None = None,
    manager_id: UUID | None = None,
    occurred_at: datetime | None = None,
) -> Change[Team]:
    """Make a team. Whether the manager exists is the foreign key's affair.

    Raises:
        TeamNameTaken, TeamClosed, UnknownReference, InTheFuture: as they say.
    """
    _refuse_future(occurred_at, now)
    _require_place(roster, parent_team_id)
    if roster.named(name) is not None:
        raise TeamNameTaken
    team = Team(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        name=name,
        parent_team_id=parent_team_id,
        manager_id=manager_id,
    )
    event = TeamCreated(parent_team_id=parent_team_id, manager_id=manager_id)
    return Change(None, team, event, occurred_at)


def update_team(
    roster: Roster,
    now: datetime,
    *,
    team_id: UUID,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
    occurred_at: datetime | None = None,
) -> Changes:
    """Rename, move, close or reopen a team, or change its manager. What changes nothing is no event.

    Raises:
        NotFound, PreconditionFailed, TeamNameTaken, TeamCycle, TeamHasSubteams, TeamClosed, UnknownReference,
        InTheFuture: as they say.
    """
    _refuse_future(occurred_at, now)
    team = expect(roster.teams.get(team_id), "team", version=expected_version)
    changed = {field: value for field, value in changes.items() if getattr(team, field) != value}
    if not changed:
        return []
    if "parent_team_id" in changed:
        _require_place(roster, changed["parent_team_id"], of=team)
    decided: Changes = []
    if changed.get("is_active") is False:
        decided, team = _close(roster, team, at=occurred_at or now, now=now)
    after = revised(team, now, **changed)
    namesake = roster.named(after.name) if after.is_active else None
    if namesake is not None and namesake.id != team_id:
        raise TeamNameTaken
    event = TeamUpdated(parent_team_id=after.parent_team_id, manager_id=after.manager_id, is_active=after.is_active)
    return [*decided, Change(team, after, event, occurred_at)]


def add_member(
    roster: Roster, now: datetime, *, team_id: UUID, user_id: UUID, occurred_at: datetime | None = None
) -> Changes:
    """Put a user into a team from `occurred_at` on; a membership elsewhere ends at that instant.

    One that turns out to have begun earlier begins then, unless the user was in a team at that time; else nothing
    changes where the user is in the team already. Whether the user exists is the foreign key's affair.

    Raises:
        NotFound, TeamClosed, MembershipOverlap, InTheFuture: as they say.
    """
    _refuse_future(occurred_at, now)
    team = expect(roster.teams.get(team_id), "team")
    if not team.is_active:
        raise TeamClosed
    present, since = roster.present(user_id), occurred_at or now
    is_here = present is not None and present.team_id == team_id
    if present is not None and is_here and (occurred_at is None or occurred_at >= present.started_at):
        return []
    free_from = roster.free_from(user_id, without=present if is_here else None)
    if free_from is not None and since < free_from:
        raise MembershipOverlap
    if present is not None and is_here:
        earlier = Change(team, revised(team, now), TeamMemberAdded(user_id=user_id), since)
        return [earlier, Change(present, replace(present, started_at=since))]
    ended = [] if present is None else _end(roster.teams[present.team_id], present, at=since, now=now)
    member = Membership(id=uuid7(), team_id=team_id, user_id=user_id, started_at=since)
    added = Change(team, revised(team, now), TeamMemberAdded(user_id=user_id), since)
    return [*ended, added, Change(None, member)]


def remove_member(
    roster: Roster,
    now: datetime,
    *,
    team_id: UUID,
    user_id: UUID,
    expected_version: int | None = None,
    occurred_at: datetime | None = None,
) -> Changes:
    """End a user's membership.

    Raises:
        NotFound, PreconditionFailed, MembershipOverlap, InTheFuture: as they say.
    """
    _refuse_future(occurred_at, now)
    team, present = roster.teams.get(team_id), roster.present(user_id)
    if team is None or present is None or present.team_id != team_id:
        raise NotFound("member of this team")
    return _end(expect(team, "team", version=expected_version), present, at=occurred_at or now, now=now)


def _end(team: Team, membership: Membership, *, at: datetime, now: datetime) -> Changes:
    if at < membership.started_at:
        raise MembershipOverlap
    removed = Change(team, revised(team, now), TeamMemberRemoved(user_id=membership.user_id), at)
    return [removed, Change(membership, replace(membership, ended_at=at))]


def _close(roster: Roster, team: Team, *, at: datetime, now: datetime) -> tuple[Changes, Team]:
    if any(one.parent_team_id == team.id and one.is_active for one in roster.teams.values()):
        raise TeamHasSubteams
    decided: Changes = []
    for membership in roster.members(team.id):
        decided += _end(team, membership, at=at, now=now)
        team = revised(team, now)
    return decided, team


def _require_place(roster: Roster, parent_team_id: UUID | None, *, of: Team | None = None) -> None:
    if parent_team_id is None:
        return
    parent = roster.teams.get(parent_team_id)
    if parent is None:
        raise UnknownReference("parent_team_id", "team")
    if not parent.is_active:
        raise TeamClosed
    above: Team | None = parent
    while above is not None and of is not None:
        if above.id == of.id:
            raise TeamCycle
        above = roster.teams.get(above.parent_team_id) if above.parent_team_id is not None else None


def _refuse_future(occurred_at: datetime | None, now: datetime) -> None:
    if occurred_at is not None and occurred_at > now + _CLOCK_SKEW:
        raise InTheFuture
