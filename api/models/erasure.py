"""Receipts of erasures: what was removed where, without a word of whom."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import TenantRow


class Erasure(TenantRow):
    """One erasure of a contact."""

    __tablename__ = "erasures"

    contact_id: Mapped[UUID]
    erased_by: Mapped[UUID | None]
    erased_at: Mapped[datetime]
    receipt: Mapped[dict[str, Any]] = mapped_column(JSONB)
