"""Bodies and answers of conversations and messages as people use them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from api.conversations.enclosing import MOST_FILES
from api.edge.fields import Instant, Label, ShortName, ShortText
from contracts.channels import Channel, ConversationStatus, Direction, MessageKind

LONGEST_TEXT = 100_000


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


Words = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S"), AfterValidator(_storable)
]
Html = Annotated[str, StringConstraints(max_length=5 * LONGEST_TEXT), AfterValidator(_storable)]
Subject = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(_storable)]

FileIds = Annotated[list[UUID], Field(max_length=MOST_FILES, description="Files of `/v1/files` that go with it.")]


class ConversationStart(BaseModel):
    """A message that begins a conversation: from an account, to a contact or an address."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "account_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "address": "ada@acme.example",
                    "subject": "400 seats",
                    "text": "Hello Ada",
                }
            ]
        },
    )

    account_id: UUID
    address: ShortText | None = None
    contact_id: UUID | None = Field(default=None, description="Instead of an address.")
    deal_id: UUID | None = None
    subject: Subject | None = None
    text: Words
    html: Html | None = None
    file_ids: FileIds = Field(default_factory=list)
    not_before: Instant | None = Field(default=None, description="When to send it; default now.")


class Reply(BaseModel):
    """A message into a conversation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "With pleasure."}]})

    text: Words
    html: Html | None = None
    file_ids: FileIds = Field(default_factory=list)
    not_before: Instant | None = Field(default=None, description="When to send it; default now.")


class NoteWrite(BaseModel):
    """A note that only colleagues see."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Ask Kim first."}]})

    text: Words


class ConversationUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"labels": ["pricing"]}]})

    # only fields that were sent count; labels take no null
    assignee_id: UUID | None = None
    team_id: UUID | None = None
    contact_id: UUID | None = None
    deal_id: UUID | None = None
    labels: list[Label] = Field(default_factory=list, max_length=20)
    snoozed_until: Instant | None = Field(default=None, description="Null wakes it.")


class ConversationRead(BaseModel):
    """A conversation."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    account_id: UUID
    channel: Channel
    subject: str | None
    address: str
    status: ConversationStatus
    snoozed_until: datetime | None
    contact_id: UUID | None
    deal_id: UUID | None
    assignee_id: UUID | None
    team_id: UUID | None
    labels: list[str]
    unread_count: int
    last_message_at: datetime
    last_direction: Direction
    created_at: datetime
    updated_at: datetime


class MessageRead(BaseModel):
    """A message, or a note. `html` is safe to show; its links lead where their writer wanted."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    conversation_id: UUID
    account_id: UUID
    direction: Direction
    kind: MessageKind
    state: str = Field(description="received, queued, sending, sent, failed, unknown or note.")
    author_id: UUID | None
    sender: str | None
    subject: str | None
    text: str
    html: str | None
    details: dict[str, JsonValue]
    occurred_at: datetime
    read_at: datetime | None
    edited_at: datetime | None
    removed_at: datetime | None
    failure: str | None


class CannedReplyWrite(BaseModel):
    """A text to use again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"title": "Prices", "text": "Our prices are …"}]}
    )

    title: ShortName
    text: Annotated[Words, Field(max_length=10_000)]


class CannedReplyRead(BaseModel):
    """A text to use again."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    text: str
    created_by: UUID | None
    created_at: datetime
