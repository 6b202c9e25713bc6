"""Events of accounts of the operator's that an organization buys or rents: what they cost, for whom and until when."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from contracts.channels import Channel
from contracts.events.envelope import Event


class RentalEvent(Event):
    """Any event of an order."""

    aggregate_type: ClassVar[str] = "rental"
    topic: ClassVar[str] = "sluice.accounts"


class _RentalState(RentalEvent):
    channel: Channel
    kind: Literal["purchase", "rent"]
    price_minor: int = Field(ge=0, description="Of a rent, each month.")
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    months: int | None = Field(description="Of a rent: all that were paid or are to be paid.")
    user_id: UUID | None = Field(description="Who works with it.")
    account_id: UUID | None


class RentalOrdered(_RentalState):
    """Somebody wants it; nothing is paid yet."""

    type: ClassVar[str] = "rental.ordered"


class RentalHandedOver(_RentalState):
    """It is paid and theirs."""

    type: ClassVar[str] = "rental.handed_over"

    paid_minor: int = Field(ge=0)
    ends_at: datetime | None = Field(description="When a rent is over.")


class RentalRenewed(_RentalState):
    """More months are paid."""

    type: ClassVar[str] = "rental.renewed"

    paid_minor: int = Field(ge=0, description="For the months that came on top.")
    ends_at: datetime


class RentalHandedBack(_RentalState):
    """Whoever let it has it again."""

    type: ClassVar[str] = "rental.handed_back"


class RentalCancelled(_RentalState):
    """It was not to be had; what was paid was given back."""

    type: ClassVar[str] = "rental.cancelled"

    reason: str = Field(max_length=60, pattern=r"^[a-z0-9_]+$", description="A code, for example `price_changed`.")
