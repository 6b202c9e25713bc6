"""Contacts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Contact(Aggregate):
    """One person whom an organization sells to. `source_id` is a value of the picklist `source`."""

    __tablename__ = "contacts"

    name: Mapped[str]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    company_id: Mapped[UUID | None]
    owner_id: Mapped[UUID | None]
    source_id: Mapped[UUID | None]
    external_id: Mapped[str | None]
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB)
    computed: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    computed_told: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    computed_version: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[datetime | None]
    binned: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
