"""Events of what an organization pays for: plan, seats and amounts; never who pays, nor how."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class SubscriptionEvent(Event):
    """Any event of a subscription."""

    aggregate_type: ClassVar[str] = "subscription"
    topic: ClassVar[str] = "sluice.billing"


class _SubscriptionState(SubscriptionEvent):
    plan: str = Field(description="Name of the plan in the catalogue.")
    status: str = Field(description="The provider's: trialing, active, past_due, unpaid, paused, incomplete …")
    seats: int = Field(ge=0)
    interval: Literal["month", "year"]
    monthly_minor: int = Field(
        description="What it costs a month, in minor units of the currency; a twelfth of a year's."
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class SubscriptionCreated(_SubscriptionState):
    """An organization subscribed."""

    type: ClassVar[str] = "subscription.created"


class SubscriptionUpdated(_SubscriptionState):
    """Plan, seats, status or price changed; the full state."""

    type: ClassVar[str] = "subscription.updated"


class SubscriptionCancelled(_SubscriptionState):
    """It ended, for good; the state in which it ended."""

    type: ClassVar[str] = "subscription.cancelled"

    reason: str | None = Field(description="The provider's: cancellation_requested, payment_failed, payment_disputed.")


class InvoiceEvent(Event):
    """Any event of an invoice."""

    aggregate_type: ClassVar[str] = "invoice"
    topic: ClassVar[str] = "sluice.billing"


class _InvoiceState(InvoiceEvent):
    subscription_id: UUID | None
    status: str = Field(description="The provider's: draft, open, paid, uncollectible, void.")
    total_minor: int
    paid_minor: int
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    seats: int = Field(description="Seats of its lines for a whole period; those for parts of one are not counted.")
    payment_attempts: int = Field(ge=0)


class InvoiceCreated(_InvoiceState):
    """The provider made out an invoice."""

    type: ClassVar[str] = "invoice.created"


class InvoiceUpdated(_InvoiceState):
    """It was finalized, paid, or a payment failed; the full state."""

    type: ClassVar[str] = "invoice.updated"
