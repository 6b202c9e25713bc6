"""Records that were merged into others."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class MergedRecord(TenantRow):
    """One contact or company that is part of another one now: `merged` is what it was, `moved` what went along."""

    __tablename__ = "merged_records"

    kind: Mapped[str]
    merged_id: Mapped[UUID]
    survivor_id: Mapped[UUID]
    external_id: Mapped[str | None]
    merged: Mapped[dict[str, Any]] = mapped_column(JSONB)
    moved: Mapped[dict[str, Any]] = mapped_column(JSONB)
    dropped: Mapped[dict[str, Any]] = mapped_column(JSONB)
    survivor_before: Mapped[dict[str, Any]] = mapped_column(JSONB)
    survivor_after: Mapped[dict[str, Any]] = mapped_column(JSONB)
    merged_by: Mapped[UUID | None]
    undone_at: Mapped[datetime | None]
