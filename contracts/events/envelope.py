"""The envelope every event travels in (after CloudEvents 1.0), and the base class of event data.

Two clocks: `occurred_at` is when the fact was true and may be backdated; `recorded_at` is when Sluice learned it and
is set by the database. Events carry ids and facts, never personal data: erasing a person touches PostgreSQL alone.
"""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class ActorKind(StrEnum):
    """Who or what caused an event."""

    USER = "user"
    RULE = "rule"
    IMPORT = "import"
    API_KEY = "api_key"
    SCORE = "score"
    SYSTEM = "system"


class Event(BaseModel):
    """The data of one event type and version. Subclasses set the three class variables and add their facts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: ClassVar[str]
    version: ClassVar[int] = 1
    aggregate_type: ClassVar[str]


E = TypeVar("E", bound=Event)


class Envelope(BaseModel, Generic[E]):
    """One event as it is stored, published and loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID = Field(description="UUIDv7 of the event; consumers deduplicate by it.")
    type: str = Field(description="`aggregate.past_tense`, for example `deal.stage.changed`.")
    version: int = Field(ge=1, description="Version of the data's schema.")
    organization_id: UUID
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int = Field(ge=1, description="Grows by one with every event of the aggregate.")
    occurred_at: AwareDatetime = Field(description="When it was true; may lie before recorded_at.")
    recorded_at: AwareDatetime = Field(description="When Sluice learned it.")
    actor: ActorKind
    actor_id: UUID | None = None
    causation_id: UUID | None = Field(default=None, description="Event that led to this one.")
    correlation_id: UUID = Field(description="Shared by everything one request or import did.")
    depth: int = Field(default=0, ge=0, description="Length of the chain of causes; rules stop at 8.")
    data: E

    def known_before(self, instant: datetime) -> bool:
        """Whether Sluice knew this fact at `instant`."""
        return self.recorded_at <= instant
