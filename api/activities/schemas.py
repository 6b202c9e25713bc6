"""Bodies and answers of notes, calls and meetings."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import Count, Instant, LongText, Name

_MOST_MENTIONS = 50

Mentions = Annotated[list[UUID], Field(max_length=_MOST_MENTIONS, description="Users who should read it.")]


class _About(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None


class NoteCreate(_About):
    """A new note."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"body": "Asked for a discount."}]})

    body: LongText
    mentions: Mentions = []


class NoteUpdate(_About):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"body": "Asked for a discount of a tenth."}]})

    body: LongText = ""
    mentions: Mentions = []


class ActivityCreate(_About):
    """A call or a meeting that took place."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "call", "subject": "First call", "duration_seconds": 420}]}
    )

    kind: Literal["call", "meeting"]
    subject: Name | None = None
    body: LongText | None = None
    took_place_at: Instant | None = Field(default=None, description="Default now.")
    duration_seconds: Count | None = None
    direction: Literal["in", "out"] | None = None
    mentions: Mentions = []


class ActivityUpdate(_About):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"duration_seconds": 600}]})

    subject: Name | None = None
    body: LongText | None = None
    # takes no null: only fields that were sent count
    took_place_at: Instant = Field(default=None, validate_default=False)  # type: ignore[assignment]
    duration_seconds: Count | None = None
    direction: Literal["in", "out"] | None = None
    mentions: Mentions = []


class NoteRead(BaseModel):
    """A note."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    body: str
    author_id: UUID | None
    mentions: list[UUID]
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    created_at: datetime
    updated_at: datetime


class ActivityRead(BaseModel):
    """A call or a meeting."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    kind: str
    subject: str | None
    body: str | None
    took_place_at: datetime
    duration_seconds: int | None
    direction: str | None
    author_id: UUID | None
    mentions: list[UUID]
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    created_at: datetime
    updated_at: datetime
