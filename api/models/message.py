"""Messages, what they came in as, and the sends of those that are ours."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Message(Aggregate):
    """One message of theirs or ours, or a note. `html` is clean; `details` holds people, files and references."""

    __tablename__ = "messages"

    conversation_id: Mapped[UUID]
    account_id: Mapped[UUID]
    direction: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    provider_id: Mapped[str | None]
    author_id: Mapped[UUID | None]
    sender: Mapped[str | None]
    subject: Mapped[str | None]
    text: Mapped[str]
    html: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    edited_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    failure: Mapped[str | None]


class MessagePayload(TenantRow):
    """A message as the provider gave it; an edit is another one."""

    __tablename__ = "message_payloads"

    message_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Send(TenantRow):
    """The one send of a message of ours. `epoch` is that of the connector that took it; `hours` are when it may go."""

    __tablename__ = "sends"

    message_id: Mapped[UUID]
    account_id: Mapped[UUID]
    state: Mapped[str]
    source: Mapped[str]
    source_id: Mapped[UUID | None]
    address: Mapped[str]
    not_before: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int | None] = mapped_column(BigInteger)
    claimed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    hours: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
