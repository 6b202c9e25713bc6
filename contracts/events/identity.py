"""Events of organizations, users and teams. Names and e-mails stay in PostgreSQL."""

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.access import RecordScope, Role
from contracts.events.envelope import Event


class OrganizationEvent(Event):
    """Any event of an organization."""

    aggregate_type: ClassVar[str] = "organization"
    topic: ClassVar[str] = "sluice.identity"


class _OrganizationState(OrganizationEvent):
    time_zone: str = Field(description="IANA name, for example `Europe/Berlin`.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code in which amounts are reported.")
    week_start: int = Field(ge=1, le=7, description="ISO weekday on which a week starts; 1 is Monday.")
    fiscal_year_start_month: int = Field(ge=1, le=12)


class OrganizationCreated(_OrganizationState):
    """An organization signed up."""

    type: ClassVar[str] = "organization.created"


class OrganizationUpdated(_OrganizationState):
    """The organization's calendar or currency changed; the full state after the change."""

    type: ClassVar[str] = "organization.updated"


class OrganizationDeletionAsked(OrganizationEvent):
    """An owner asked that the organization be deleted, which can be taken back until it is due."""

    type: ClassVar[str] = "organization.deletion.asked"

    due_at: AwareDatetime


class OrganizationDeletionCancelled(OrganizationEvent):
    """An owner took that back."""

    type: ClassVar[str] = "organization.deletion.cancelled"


class OrganizationDeleted(OrganizationEvent):
    """Nobody gets in any more, and all of the organization goes: who holds anything of it forgets it."""

    type: ClassVar[str] = "organization.deleted"


class UserEvent(Event):
    """Any event of a user."""

    aggregate_type: ClassVar[str] = "user"
    topic: ClassVar[str] = "sluice.identity"


class _UserState(UserEvent):
    role: Role
    record_scope: RecordScope
    is_active: bool


class UserCreated(_UserState):
    """A person became a member of the organization."""

    type: ClassVar[str] = "user.created"


class UserUpdated(_UserState):
    """Role, scope or standing changed; the full state after the change."""

    type: ClassVar[str] = "user.updated"


class UserLoggedIn(UserEvent):
    """A person signed in."""

    type: ClassVar[str] = "user.logged_in"


class TeamEvent(Event):
    """Any event of a team."""

    aggregate_type: ClassVar[str] = "team"
    topic: ClassVar[str] = "sluice.identity"


class _TeamState(TeamEvent):
    parent_team_id: UUID | None
    manager_id: UUID | None
    is_active: bool = True


class TeamCreated(_TeamState):
    """A team exists."""

    type: ClassVar[str] = "team.created"


class TeamUpdated(_TeamState):
    """A team moved in the tree, changed its manager or was closed; the full state after the change."""

    type: ClassVar[str] = "team.updated"


class TeamMemberAdded(TeamEvent):
    """A user is in the team from `occurred_at` on."""

    type: ClassVar[str] = "team.member.added"

    user_id: UUID


class TeamMemberRemoved(TeamEvent):
    """A user left the team at `occurred_at`."""

    type: ClassVar[str] = "team.member.removed"

    user_id: UUID
