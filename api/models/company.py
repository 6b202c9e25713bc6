"""Companies."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Company(Aggregate):
    """One company. `industry_id` is a value of the picklist `industry`."""

    __tablename__ = "companies"

    name: Mapped[str]
    domain: Mapped[str | None]
    industry_id: Mapped[UUID | None]
    employee_count: Mapped[int | None]
    country: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    external_id: Mapped[str | None]
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB)
    computed: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    computed_told: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    computed_version: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[datetime | None]
    binned: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
