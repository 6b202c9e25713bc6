"""Webhooks, and what was sent by them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Webhook(Aggregate):
    """An address that events are sent to. Nobody counts webhooks: their changes are audited, and are no events."""

    __tablename__ = "webhooks"
    __audited__ = ("webhook", ("url", "event_types", "state", "reason"))

    url: Mapped[str]
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_before: Mapped[bytes | None] = mapped_column(LargeBinary)
    before_until: Mapped[datetime | None]
    state: Mapped[str]
    reason: Mapped[str | None]
    first_failed_at: Mapped[datetime | None]


class WebhookDelivery(TenantRow):
    """One event on its way to one webhook: the very text that is signed, and what came of it."""

    __tablename__ = "webhook_deliveries"

    webhook_id: Mapped[UUID]
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    body: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(BigInteger)
    next_attempt_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    answer_status: Mapped[int | None] = mapped_column(BigInteger)
    answer: Mapped[str | None]
    error: Mapped[str | None]
