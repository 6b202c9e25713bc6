"""Events of conversations and their messages: who wrote when, how much and through what, never which words."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.channels import Channel, MessageKind, SendSource
from contracts.events.envelope import Event


class ConversationEvent(Event):
    """Any event of a conversation."""

    aggregate_type: ClassVar[str] = "conversation"
    topic: ClassVar[str] = "sluice.conversations"


class ConversationOpened(ConversationEvent):
    """A conversation exists, or is open again after it was closed."""

    type: ClassVar[str] = "conversation.opened"

    channel: Channel
    account_id: UUID
    contact_id: UUID | None
    deal_id: UUID | None
    assignee_id: UUID | None
    team_id: UUID | None
    is_reopened: bool


class ConversationClosed(ConversationEvent):
    """Nobody needs to look at it any more."""

    type: ClassVar[str] = "conversation.closed"

    assignee_id: UUID | None
    team_id: UUID | None


class ConversationAssigned(ConversationEvent):
    """Another user or team looks after it; null for nobody."""

    type: ClassVar[str] = "conversation.assigned"

    assignee_id: UUID | None
    team_id: UUID | None


class ConversationLinked(ConversationEvent):
    """It is with another contact, or about another deal."""

    type: ClassVar[str] = "conversation.linked"

    contact_id: UUID | None
    deal_id: UUID | None


class MessageEvent(Event):
    """Any event of a message."""

    aggregate_type: ClassVar[str] = "message"
    topic: ClassVar[str] = "sluice.conversations"


class _MessageFacts(MessageEvent):
    conversation_id: UUID
    account_id: UUID
    channel: Channel
    contact_id: UUID | None
    deal_id: UUID | None
    assignee_id: UUID | None = Field(description="Who looked after the conversation then.")
    length: int = Field(ge=0, description="Characters of its text.")
    attachments: int = Field(ge=0, description="How many files came along.")


class MessageReceived(_MessageFacts):
    """A message of theirs came in."""

    type: ClassVar[str] = "message.received"

    kind: MessageKind


class MessageQueued(_MessageFacts):
    """A message of ours waits to be sent."""

    type: ClassVar[str] = "message.queued"

    source: SendSource
    source_id: UUID | None = Field(description="The draft, campaign step or rule that asked for it.")
    author_id: UUID | None


class MessageSent(_MessageFacts):
    """The provider took a message of ours."""

    type: ClassVar[str] = "message.sent"

    source: SendSource
    source_id: UUID | None = Field(description="The draft, campaign step or rule that asked for it.")
    author_id: UUID | None


class MessageRead(MessageEvent):
    """They read a message of ours."""

    type: ClassVar[str] = "message.read"

    conversation_id: UUID


class MessageFailed(MessageEvent):
    """A message of ours did not arrive, or nobody can say whether it did."""

    type: ClassVar[str] = "message.failed"

    conversation_id: UUID
    account_id: UUID
    reason: str = Field(max_length=60, pattern=r"^[a-z0-9_]+$", description="A code, for example `bounced`.")
    is_unknown: bool


class MessageUpdated(MessageEvent):
    """Its writer changed its words or took it back."""

    type: ClassVar[str] = "message.updated"

    conversation_id: UUID
    length: int = Field(ge=0)
    is_removed: bool


class ConversationUpdated(ConversationEvent):
    """What people say about it changed: labels, sleep."""

    type: ClassVar[str] = "conversation.updated"

    changed_fields: list[str]
