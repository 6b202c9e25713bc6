"""Organizations that asked to be deleted; the receipt of those that were."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base


class OrganizationDeletion(Base):
    """One deletion: asked for, then due, begun, finished. `removed` counts the rows of each table."""

    __tablename__ = "organization_deletions"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    asked_by: Mapped[UUID]
    asked_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    due_at: Mapped[datetime]
    began_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    warehouse_forgot_at: Mapped[datetime | None]
    removed: Mapped[dict[str, Any]] = mapped_column(JSONB, FetchedValue())
    owners: Mapped[list[str]] = mapped_column(ARRAY(Text), FetchedValue())
    people: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), FetchedValue())
