"""Events of goals: what is to be won, by whom and until when."""

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class GoalEvent(Event):
    """Any event of a goal."""

    aggregate_type: ClassVar[str] = "goal"
    topic: ClassVar[str] = "sluice.money"


class GoalSet(GoalEvent):
    """A goal is this, new or changed."""

    type: ClassVar[str] = "goal.set"

    user_id: UUID | None
    team_id: UUID | None
    measure: Literal["won_amount", "deals_won"]
    starts_on: date
    ends_on: date = Field(description="The day after its last one.")
    target: int = Field(description="Deals, or minor units of the currency.")
    currency: str | None


class GoalDeleted(GoalEvent):
    """A goal is none any more."""

    type: ClassVar[str] = "goal.deleted"
