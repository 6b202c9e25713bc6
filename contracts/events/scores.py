"""Events of scores: how likely a deal is won or a contact becomes a deal, by which model; ids and numbers only."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.events.envelope import Event


class ScoreEvent(Event):
    """Any event of a score; its aggregate is the score, which never changes: a new one is another."""

    aggregate_type: ClassVar[str] = "score"
    topic: ClassVar[str] = "sluice.scores"


class DealScored(ScoreEvent):
    """A deal was scored as of an instant, with facts known then; `previous` is the score before."""

    type: ClassVar[str] = "lead.scored"

    deal_id: UUID
    model_id: UUID
    model_number: int
    score: float = Field(ge=0, le=1)
    previous: float | None
    horizon_days: int
    scored_at: AwareDatetime


class LeadScored(ScoreEvent):
    """A deal or a contact was scored as of an instant, with facts known then; `previous` is the score before."""

    type: ClassVar[str] = "lead.scored"
    version: ClassVar[int] = 2

    deal_id: UUID | None = Field(description="The deal that was scored; null where a contact was.")
    contact_id: UUID | None = Field(description="The contact that was scored; null where a deal was.")
    model_id: UUID
    model_number: int
    score: float = Field(ge=0, le=1, description="Chance of being won, or of becoming a deal, within the horizon.")
    previous: float | None
    horizon_days: int
    scored_at: AwareDatetime

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The first version spoke of deals alone."""
        return {**data, "contact_id": None}
