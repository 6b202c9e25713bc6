"""Events of drafts: which prompt and model, at what cost, and what people made of what was written; never its words."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event


class DraftKind(StrEnum):
    """What a model is asked for."""

    REPLY = "reply"
    NEXT_ACTION = "next_action"
    SUMMARY = "summary"


class DraftEvent(Event):
    """Any event of a draft."""

    aggregate_type: ClassVar[str] = "draft"
    topic: ClassVar[str] = "sluice.drafts"


class DraftGenerated(DraftEvent):
    """A model wrote it."""

    type: ClassVar[str] = "ai.draft.generated"

    kind: DraftKind
    conversation_id: UUID | None
    deal_id: UUID | None
    author_id: UUID | None = Field(description="Who asked for it; null: a rule.")
    prompt: str = Field(description="Name and version of the prompt, as `reply@1`.")
    model: str
    inputs_hash: str = Field(description="SHA-256 of what the model was given.")
    cited: list[str] = Field(description="Names of the facts that it says it used.")
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cost_micro: int = Field(ge=0, description="Micro-dollars.")
    length: int = Field(ge=0, description="Characters.")


class DraftEdited(DraftEvent):
    """A person changed its text; an approval of the text before is gone."""

    type: ClassVar[str] = "ai.draft.edited"

    edited_by: UUID
    length: int


class DraftApproved(DraftEvent):
    """A person approved exactly this text."""

    type: ClassVar[str] = "ai.draft.approved"

    approved_by: UUID
    text_hash: str = Field(description="SHA-256 of the text.")
    is_edited: bool = Field(description="Whether a person changed what the model wrote.")
    length: int


class DraftRejected(DraftEvent):
    """A person wants none of it."""

    type: ClassVar[str] = "ai.draft.rejected"

    rejected_by: UUID
    was_approved: bool


class DraftSent(DraftEvent):
    """It waits to be sent as a message, word for word as approved."""

    type: ClassVar[str] = "ai.draft.sent"

    message_id: UUID
    text_hash: str
