"""The envelope every event travels in (after CloudEvents 1.0), and the base class of event data.

Two clocks: `occurred_at` is when the fact was true and may be backdated; `recorded_at` is when Sluice learned it and
is set by the database. Events carry ids and facts, never personal data: erasing a person touches PostgreSQL alone.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar
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
    """The data of one event type and version.

    An aggregate's base class sets `aggregate_type` and `topic`; below it a class that sets `type` is an event. It is
    registered as it is defined, and adds its facts. A class of a later version also says how to `upcast`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: ClassVar[str]
    version: ClassVar[int] = 1
    aggregate_type: ClassVar[str]
    topic: ClassVar[str]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 # pydantic's own signature
        super().__pydantic_init_subclass__(**kwargs)
        if not hasattr(cls, "type"):
            return
        if (cls.type, cls.version) in EVENTS:
            raise TypeError(f"there are two classes of {cls.type} version {cls.version}")
        if cls.version > 1 and "upcast" not in cls.__dict__:
            raise TypeError(f"{cls.__name__} must say how data of version {cls.version - 1} become its own")
        EVENTS[cls.type, cls.version] = cls

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Data of the version before as data of this one. A first version has nothing to upcast."""
        raise NotImplementedError


#: Every event that was defined, by type and version.
EVENTS: dict[tuple[str, int], type[Event]] = {}


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
