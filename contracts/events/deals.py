"""Events of deals: the facts that funnels are counted from.

Four of them enter a stage: `deal.created`, `deal.stage.changed`, `deal.closed` and `deal.reopened`; the stage entered
is always `to_stage_id`. A deal's history is ordered by (occurred_at, aggregate_version): a backdated entry takes its
place among the older ones, and the present stage is the one entered last in that order.
"""

from datetime import date
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.events.envelope import Event
from contracts.stages import Outcome

_CURRENCY = r"^[A-Z]{3}$"


class DealEvent(Event):
    """Any event of a deal."""

    aggregate_type: ClassVar[str] = "deal"
    topic: ClassVar[str] = "sluice.deals"


class DealCreated(DealEvent):
    """A deal exists, in its first stage."""

    type: ClassVar[str] = "deal.created"

    pipeline_id: UUID
    to_stage_id: UUID
    amount_minor: int | None = Field(description="Amount in minor units of `currency`.")
    currency: str = Field(pattern=_CURRENCY)
    owner_id: UUID | None
    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None = Field(description="Value of the organization's `source` picklist.")
    close_date: date | None = Field(description="Day on which the deal is expected to close.")


class DealUpdated(DealEvent):
    """Relations of a deal changed; the full state after it, and which fields changed (the title by name only)."""

    type: ClassVar[str] = "deal.updated"

    company_id: UUID | None
    contact_id: UUID | None
    source_id: UUID | None
    changed_fields: list[str]


class DealStageChanged(DealEvent):
    """A deal entered another open stage of its pipeline."""

    type: ClassVar[str] = "deal.stage.changed"

    pipeline_id: UUID
    from_stage_id: UUID
    to_stage_id: UUID


class DealAmountChanged(DealEvent):
    """A deal is worth another amount from `occurred_at` on."""

    type: ClassVar[str] = "deal.amount.changed"

    amount_minor: int | None
    currency: str = Field(pattern=_CURRENCY)


class LineFacts(BaseModel):
    """What one line sells, and what it comes to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product_id: UUID | None
    quantity: Decimal
    unit_price_minor: int
    discount_percent: Decimal
    total_minor: int = Field(description="Rounded to whole minor units.")


class DealLineItemsChanged(DealEvent):
    """A deal sells these lines from `occurred_at` on: all of them, by their ids. Their sum is its amount."""

    type: ClassVar[str] = "deal.line_items.changed"

    currency: str = Field(pattern=_CURRENCY)
    total_minor: int | None = Field(description="The sum; null where there are no lines.")
    lines: dict[UUID, LineFacts]


class DealOwnerChanged(DealEvent):
    """A deal belongs to another user from `occurred_at` on."""

    type: ClassVar[str] = "deal.owner.changed"

    owner_id: UUID | None


class DealCloseDateChanged(DealEvent):
    """A deal is expected to close on another day."""

    type: ClassVar[str] = "deal.close_date.changed"

    close_date: date | None


class DealClosed(DealEvent):
    """A deal was won or lost: it entered a stage of that kind."""

    type: ClassVar[str] = "deal.closed"

    pipeline_id: UUID
    from_stage_id: UUID
    to_stage_id: UUID
    outcome: Outcome
    lost_reason_id: UUID | None = Field(description="Value of the organization's `lost_reason` picklist.")


class DealReopened(DealEvent):
    """A closed deal is open again, in an open stage."""

    type: ClassVar[str] = "deal.reopened"

    pipeline_id: UUID
    from_stage_id: UUID
    to_stage_id: UUID


class DealDeleted(DealEvent):
    """A deal was deleted: from `recorded_at` on it counts nowhere; reports as of earlier instants still know it."""

    type: ClassVar[str] = "deal.deleted"


class DealRestored(DealEvent):
    """A deleted deal is there again, as it was: from `recorded_at` on it counts; as known before then, it was gone."""

    type: ClassVar[str] = "deal.restored"
