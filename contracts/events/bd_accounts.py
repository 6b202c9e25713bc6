"""Events of the accounts through which people are written to: how they do, and who works with them."""

from datetime import datetime
from typing import ClassVar, Literal
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


class BdAccountPurchased(BdAccountEvent):
    """It was bought or rented of the operator; the order says for how much."""

    type: ClassVar[str] = "bd_account.purchased"

    rental_id: UUID
    kind: Literal["purchase", "rent"]


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


class AccountDayCompared(Event):
    """What the provider had of a day was compared with what is stored: a day that is over, or one with gaps."""

    type: ClassVar[str] = "account_day.compared"
    aggregate_type: ClassVar[str] = "account_day"
    topic: ClassVar[str] = "sluice.accounts"

    account_id: UUID
    channel: Channel
    began_at: datetime = Field(description="When the day began, by UTC.")
    provider: int = Field(ge=0)
    stored: int = Field(ge=0)
    missing: int = Field(ge=0)
    filtered: int = Field(ge=0, description="Left out on purpose.")
    failed: int = Field(ge=0, description="Could not be taken in.")
    healed: int = Field(ge=0, description="Were missing once, and came.")
