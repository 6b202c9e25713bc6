"""Events of what an organization pays for: plan, seats and amounts; never who pays, nor how."""

from datetime import datetime
from typing import Any, ClassVar, Literal
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


class _FirstInvoiceState(InvoiceEvent):
    subscription_id: UUID | None
    status: str = Field(description="The provider's: draft, open, paid, uncollectible, void.")
    total_minor: int
    paid_minor: int
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    seats: int = Field(description="Seats of its lines for a whole period; those for parts of one are not counted.")
    payment_attempts: int = Field(ge=0)


class InvoiceCreatedV1(_FirstInvoiceState):
    """The provider made out an invoice; without what its lines are for."""

    type: ClassVar[str] = "invoice.created"


class InvoiceUpdatedV1(_FirstInvoiceState):
    """It was finalized, paid, or a payment failed; without what its lines are for."""

    type: ClassVar[str] = "invoice.updated"


class _InvoiceState(_FirstInvoiceState):
    seats_minor: int | None = Field(
        default=None, description="What its seats cost for a whole period; null: not known."
    )
    usage_minor: int | None = Field(default=None, description="What use beyond the plan cost; null: not known.")
    ai_drafts: int | None = Field(default=None, description="Drafts beyond the plan that it charges.")
    account_days: int | None = Field(default=None, description="Days of accounts beyond the plan that it charges.")
    usage_from: datetime | None = Field(default=None, description="Beginning of the period whose use it charges.")
    usage_to: datetime | None = Field(default=None, description="End of that period.")


class InvoiceCreated(_InvoiceState):
    """The provider made out an invoice."""

    type: ClassVar[str] = "invoice.created"
    version: ClassVar[int] = 2

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Nothing was said of what its lines are for."""
        return data


class InvoiceUpdated(_InvoiceState):
    """It was finalized, paid, or a payment failed; the full state."""

    type: ClassVar[str] = "invoice.updated"
    version: ClassVar[int] = 2

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Nothing was said of what its lines are for."""
        return data


class UsageEvent(Event):
    """Any event of use that is paid for by itself."""

    aggregate_type: ClassVar[str] = "usage_report"
    topic: ClassVar[str] = "sluice.billing"


class UsageReported(UsageEvent):
    """The provider knows of use beyond the plan, and charges it with the period in which `stamped_at` lies."""

    type: ClassVar[str] = "usage.reported"

    meter: Literal["ai_drafts_beyond", "account_days_beyond"]
    quantity: int = Field(ge=1)
    subscription_id: UUID | None = Field(description="Subscription that it is charged with, if it still holds.")
    stamped_at: datetime
