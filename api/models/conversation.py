"""Conversations, and what goes with them: identities of contacts, addresses nobody writes to, canned replies."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Conversation(Aggregate):
    """One thread with one person, or a group of people, through one account."""

    __tablename__ = "conversations"

    account_id: Mapped[UUID]
    channel: Mapped[str]
    thread_key: Mapped[str]
    subject: Mapped[str | None]
    address: Mapped[str]
    status: Mapped[str]
    snoozed_until: Mapped[datetime | None]
    contact_id: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    assignee_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None]
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    unread_count: Mapped[int] = mapped_column(BigInteger)
    last_message_at: Mapped[datetime]
    last_direction: Mapped[str]


class ChannelIdentity(TenantRow):
    """An address of a contact that no field of theirs holds."""

    __tablename__ = "channel_identities"

    channel: Mapped[str]
    address: Mapped[str]
    contact_id: Mapped[UUID]


class Suppression(TenantRow):
    """An address that nothing is sent to, and why."""

    __tablename__ = "suppressions"

    channel: Mapped[str]
    address: Mapped[str]
    reason: Mapped[str]


class CannedReply(TenantRow):
    """A text that is used again and again."""

    __tablename__ = "canned_replies"

    title: Mapped[str]
    text: Mapped[str]
    created_by: Mapped[UUID | None]
