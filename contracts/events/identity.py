"""Events of organizations, users and teams. Names and e-mails stay in PostgreSQL."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.access import RecordScope, Role
from contracts.events.envelope import Event


class _OrganizationState(Event):
    aggregate_type: ClassVar[str] = "organization"

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


class _UserState(Event):
    aggregate_type: ClassVar[str] = "user"

    role: Role
    record_scope: RecordScope
    is_active: bool


class UserCreated(_UserState):
    """A person became a member of the organization."""

    type: ClassVar[str] = "user.created"


class UserUpdated(_UserState):
    """Role, scope or standing changed; the full state after the change."""

    type: ClassVar[str] = "user.updated"


class UserLoggedIn(Event):
    """A person signed in."""

    type: ClassVar[str] = "user.logged_in"
    aggregate_type: ClassVar[str] = "user"


class _TeamState(Event):
    aggregate_type: ClassVar[str] = "team"

    parent_team_id: UUID | None
    manager_id: UUID | None
    is_active: bool = True


class TeamCreated(_TeamState):
    """A team exists."""

    type: ClassVar[str] = "team.created"


class TeamUpdated(_TeamState):
    """A team moved in the tree, changed its manager or was closed; the full state after the change."""

    type: ClassVar[str] = "team.updated"


class TeamMemberAdded(Event):
    """A user is in the team from `occurred_at` on."""

    type: ClassVar[str] = "team.member.added"
    aggregate_type: ClassVar[str] = "team"

    user_id: UUID


class TeamMemberRemoved(Event):
    """A user left the team at `occurred_at`."""

    type: ClassVar[str] = "team.member.removed"
    aggregate_type: ClassVar[str] = "team"

    user_id: UUID
