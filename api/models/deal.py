"""Deals."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Deal(Aggregate):
    """One deal as it stands; its path through stages is in the event log.

    `created_at` and `stage_entered_at` are on the clock of what was true, `updated_at` is when the row was written.
    `last_occurred_at` is the latest `occurred_at` among the deal's events: a change from then on is the newest.
    `closed_at` is when it was won or lost, which moving on among won stages leaves. A deal that was closed before there
    was this column has it in `stage_entered_at`.
    """

    __tablename__ = "deals"

    pipeline_id: Mapped[UUID]
    stage_id: Mapped[UUID]
    stage_entered_at: Mapped[datetime]
    status: Mapped[str]
    title: Mapped[str]
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str]
    owner_id: Mapped[UUID | None]
    company_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    source_id: Mapped[UUID | None]
    close_date: Mapped[date | None]
    lost_reason_id: Mapped[UUID | None]
    external_id: Mapped[str | None]
    last_occurred_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    #: When what it said was taken out of the recycle bin: only the id is left, for what refers to it.
    purged_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    has_lines: Mapped[bool] = mapped_column(default=False)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB)
    computed: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    computed_told: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    computed_version: Mapped[int | None] = mapped_column(BigInteger)
