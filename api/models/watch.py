"""Watched figures, and mail about them that is to be sent."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Watch(Aggregate):
    """A figure that somebody watches, and what it came to when that was recorded last."""

    __tablename__ = "watches"

    user_id: Mapped[UUID]
    name: Mapped[str]
    metric: Mapped[str]
    measure: Mapped[str]
    question: Mapped[dict[str, Any]] = mapped_column(JSONB)
    period: Mapped[str | None]
    direction: Mapped[str | None]
    threshold: Mapped[float | None]
    margin: Mapped[float]
    by_mail: Mapped[bool]
    digest: Mapped[str | None]
    digest_at: Mapped[datetime | None]
    digest_value: Mapped[float | None]
    value: Mapped[float | None]
    currency: Mapped[str | None]
    period_from: Mapped[date | None]
    recorded_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    is_raised: Mapped[bool]
    problem: Mapped[str | None]
    deleted_at: Mapped[datetime | None]


class WatchMail(TenantRow):
    """A mail to whoever watches. It goes once the server has taken it."""

    __tablename__ = "watch_mails"

    user_id: Mapped[UUID]
    subject: Mapped[str]
    body: Mapped[str]
    attempts: Mapped[int] = mapped_column(BigInteger)
    next_attempt_at: Mapped[datetime]
