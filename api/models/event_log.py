"""The event log: every committed change, in commit-safe order per aggregate. Only units of work write."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base


class EventLogRow(Base):
    """One event. The app may insert and read; the relay marks where it was published."""

    __tablename__ = "event_log"

    position: Mapped[int] = mapped_column(BigInteger, FetchedValue(), primary_key=True)
    event_id: Mapped[UUID]
    organization_id: Mapped[UUID]
    type: Mapped[str]
    version: Mapped[int]
    aggregate_type: Mapped[str]
    aggregate_id: Mapped[UUID]
    aggregate_version: Mapped[int] = mapped_column(BigInteger)
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    actor: Mapped[str]
    actor_id: Mapped[UUID | None]
    causation_id: Mapped[UUID | None]
    correlation_id: Mapped[UUID]
    depth: Mapped[int] = mapped_column(default=0)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    published_at: Mapped[datetime | None]
    published_epoch: Mapped[UUID | None]
    published_partition: Mapped[int | None]
    published_offset: Mapped[int | None] = mapped_column(BigInteger)
    parked_reason: Mapped[str | None]
