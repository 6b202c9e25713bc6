"""Events of the accounts through which people are written to: how they do, and who works with them."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.channels import Channel
from contracts.events.envelope import Event


class BdAccountEvent(Event):
    """Any event of an account."""

    aggregate_type: ClassVar[str] = "bd_account"
    topic: ClassVar[str] = "sluice.accounts"


class BdAccountCreated(BdAccountEvent):
    """An account is known; it is not connected yet."""

    type: ClassVar[str] = "bd_account.created"

    channel: Channel


class BdAccountUpdated(BdAccountEvent):
    """What people set up of it changed, by name."""

    type: ClassVar[str] = "bd_account.updated"

    changed_fields: list[str]


class BdAccountConnected(BdAccountEvent):
    """It works: for the first time, or again."""

    type: ClassVar[str] = "bd_account.connected"

    channel: Channel


class BdAccountDisconnected(BdAccountEvent):
    """It was disconnected: by a person, or because its sign-in is no longer accepted."""

    type: ClassVar[str] = "bd_account.disconnected"

    reason: str = Field(max_length=60, pattern=r"^[a-z0-9_]+$", description="A code, for example `by_user`.")


class BdAccountLimited(BdAccountEvent):
    """The provider restricts it, until an instant or until further notice."""

    type: ClassVar[str] = "bd_account.limited"

    reason: str = Field(max_length=60, pattern=r"^[a-z0-9_]+$", description="A code, for example `flood_wait`.")
    until: datetime | None


class BdAccountBanned(BdAccountEvent):
    """The provider closed it."""

    type: ClassVar[str] = "bd_account.banned"

    reason: str = Field(max_length=60, pattern=r"^[a-z0-9_]+$")


class BdAccountAssigned(BdAccountEvent):
    """A user, and the team given, work with it from `occurred_at` on."""

    type: ClassVar[str] = "bd_account.assigned"

    user_id: UUID | None
    team_id: UUID | None


class BdAccountUnassigned(BdAccountEvent):
    """Nobody works with it."""

    type: ClassVar[str] = "bd_account.unassigned"
