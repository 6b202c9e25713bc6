"""Activities: notes, calls and meetings."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Activity(Aggregate):
    """What somebody did or noted. `mentions` are users who should read it."""

    __tablename__ = "activities"

    kind: Mapped[str]
    subject: Mapped[str | None]
    body: Mapped[str | None]
    took_place_at: Mapped[datetime]
    duration_seconds: Mapped[int | None] = mapped_column(BigInteger)
    direction: Mapped[str | None]
    author_id: Mapped[UUID | None]
    mentions: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    deal_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    company_id: Mapped[UUID | None]
    deleted_at: Mapped[datetime | None]
