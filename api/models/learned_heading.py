"""Headings whose meaning somebody confirmed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped

from api.models.base import TenantRow


class LearnedHeading(TenantRow):
    """A heading of files of an entity, in plain form, and the column it stands for; empty: it is left out."""

    __tablename__ = "learned_headings"

    entity: Mapped[str]
    heading: Mapped[str]
    column_name: Mapped[str]
    confirmed_at: Mapped[datetime]
    confirmed_by: Mapped[UUID | None]
