"""Bodies of `/v1/drafts`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.drafts.prompts import LONGEST_TEXT
from api.drafts.rules import DraftState
from api.edge.fields import Flag, Whole, body_like
from contracts.events.drafts import DraftKind

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)]


_Host = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=253, pattern=r"^[a-zA-Z0-9-]{1,63}(\.[a-zA-Z0-9-]{1,63})+$"
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DraftCreate(_Body):
    """What is to be drafted: a reply in a conversation, or about a deal the next action or a summary."""

    model_config = body_like({"kind": "summary", "deal_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"})

    kind: DraftKind
    conversation_id: UUID | None = None
    deal_id: UUID | None = None
    wish: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = Field(
        default=None, description="What you want it to say, in your words."
    )


class DraftUpdate(_Body):
    """Another text."""

    model_config = body_like({"text": "Dear Kim, …"})

    text: _Text


class Approval(_Body):
    """Which text is approved."""

    model_config = body_like({"text_hash": "0000000000000000000000000000000000000000000000000000000000000000"})

    text_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="`text_hash` of the draft that you read.")


class PolicyBody(_Body):
    """What an organization wants of its drafts. All of it is replaced."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={"examples": [{"monthly_budget": 5_000_000, "hides_people": True, "link_hosts": []}]},
    )

    monthly_budget: Annotated[Whole, Field(ge=0, le=10**15)] | None = Field(
        default=None, description="Micro-dollars a calendar month; null: as much as the operator allows."
    )
    hides_people: Flag | None = Field(
        default=None, description="Whether the model sees placeholders instead of people; null: as the operator has it."
    )
    link_hosts: list[_Host] = Field(
        default=[], max_length=50, description="Hosts that links in drafts may lead to, besides the operator's."
    )


class DraftingRead(BaseModel):
    """Whether drafts can be asked for, of which model, and what the month has cost."""

    is_on: bool
    off_because: str | None = Field(description="Why not, for people to read.")
    model: str
    hides_people: bool = Field(description="Whether the model sees placeholders instead of people.")
    spent_micro: int = Field(description="Micro-dollars of this calendar month (UTC).")
    budget_micro: int = Field(description="What may be spent: the organization's own budget, or the operator's.")
    operator_budget_micro: int
    policy: PolicyBody = Field(description="What the organization chose.")


class DraftRead(BaseModel):
    """A draft."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    kind: DraftKind
    state: DraftState
    conversation_id: UUID | None
    deal_id: UUID | None
    author_id: UUID | None
    prompt: str
    model: str
    inputs_hash: str
    cited: list[str]
    action: str | None
    text: str
    text_hash: str = Field(description="SHA-256 of the text: what an approval is of.")
    input_tokens: int
    output_tokens: int
    cost_micro: int = Field(description="Micro-dollars.")
    approved_by: UUID | None
    approved_at: datetime | None
    message_id: UUID | None
    failure: str | None
    created_at: datetime
    updated_at: datetime
