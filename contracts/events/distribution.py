"""Events of distribution: whom a rule chose for a deal."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class DistributionEvent(Event):
    """Any event of one choice."""

    aggregate_type: ClassVar[str] = "distribution"
    topic: ClassVar[str] = "sluice.deals"


class DistributionMade(DistributionEvent):
    """A rule of distribution chose who gets a deal, or that nobody does."""

    type: ClassVar[str] = "distribution.made"

    rule_id: UUID
    rule_version: int = Field(ge=1)
    deal_id: UUID
    owner_id: UUID | None
    outcome: str = Field(pattern="^(assigned|fallback|queued)$")
    method: str = Field(pattern="^(round_robin|weighted|least_busy)$")
    passed_over: int = Field(ge=0, description="How many members of the rule could not take it.")
