"""Conversations, messages and sends as the rules see them. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from api.kernel.changes import Change, Versioned
from contracts.channels import Channel, ConversationStatus, Direction, MessageKind, SendSource, SendState


@dataclass(frozen=True, kw_only=True)
class Conversation(Versioned):
    """One thread. What is counted of its messages changes without a version: no event says it again."""

    account_id: UUID
    channel: Channel
    thread_key: str
    subject: str | None
    address: str
    status: ConversationStatus
    snoozed_until: datetime | None = None
    contact_id: UUID | None = None
    deal_id: UUID | None = None
    assignee_id: UUID | None = None
    team_id: UUID | None = None
    labels: list[str] = field(default_factory=list)
    unread_count: int = 0
    last_message_at: datetime
    last_direction: Direction


@dataclass(frozen=True, kw_only=True)
class Message(Versioned):
    """One message of theirs or ours, or a note."""

    conversation_id: UUID
    account_id: UUID
    direction: Direction
    kind: MessageKind = MessageKind.MESSAGE
    state: str
    provider_id: str | None = None
    author_id: UUID | None = None
    sender: str | None = None
    subject: str | None = None
    text: str
    html: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    occurred_at: datetime
    read_at: datetime | None = None
    edited_at: datetime | None = None
    removed_at: datetime | None = None
    failure: str | None = None

    @property
    def attachments(self) -> int:
        """How many files came along."""
        return len(self.details.get("attachments", ()))


@dataclass(frozen=True, kw_only=True)
class Send:
    """The one send of a message of ours."""

    id: UUID
    message_id: UUID
    account_id: UUID
    state: SendState
    source: SendSource
    source_id: UUID | None = None
    address: str
    not_before: datetime
    attempts: int = 0
    epoch: int | None = None
    claimed_at: datetime | None = None
    finished_at: datetime | None = None
    failure: str | None = None
    hours: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A message as a connector saw it: theirs, or ours from another program."""

    provider_id: str
    thread_key: str
    aliases: tuple[str, ...]
    address: str
    direction: Direction
    kind: MessageKind
    sender: str | None
    subject: str | None
    text: str
    html: str | None
    details: dict[str, Any]
    occurred_at: datetime
    is_seen: bool = False


@dataclass(frozen=True)
class Link:
    """Whom a new conversation is with: a contact, what is sold to them, who looks after them."""

    contact_id: UUID | None = None
    deal_id: UUID | None = None
    owner_id: UUID | None = None


Changes = list[Change[Conversation] | Change[Message] | Change[Send]]
