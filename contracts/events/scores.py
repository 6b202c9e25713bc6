"""Events of scores: how likely a deal is to be won, by which model; ids and numbers only."""

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.events.envelope import Event


class ScoreEvent(Event):
    """Any event of a score; its aggregate is the score, which never changes: a new one is another."""

    aggregate_type: ClassVar[str] = "score"
    topic: ClassVar[str] = "sluice.scores"

    deal_id: UUID
    model_id: UUID


class LeadScored(ScoreEvent):
    """A deal was scored as of an instant, with facts known then; `previous` is the score before."""

    type: ClassVar[str] = "lead.scored"

    model_number: int
    score: float = Field(ge=0, le=1)
    previous: float | None
    horizon_days: int
    scored_at: AwareDatetime
