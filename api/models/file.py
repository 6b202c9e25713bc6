"""Files that people attach to records."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class File(Aggregate):
    """A file: what it is called and is about. Its content lies in a folder, by its hash."""

    __tablename__ = "files"

    name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    is_scanned: Mapped[bool]
    uploaded_by: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    company_id: Mapped[UUID | None]
    activity_id: Mapped[UUID | None]
    message_id: Mapped[UUID | None]
    deleted_at: Mapped[datetime | None]
