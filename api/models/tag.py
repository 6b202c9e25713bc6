"""Tags of an organization, and which records bear them."""

from uuid import UUID

from sqlalchemy.orm import Mapped

from api.models.base import TenantRow


class Tag(TenantRow):
    """One tag. Its name is unique in any case."""

    __tablename__ = "tags"

    name: Mapped[str]


class RecordTag(TenantRow):
    """A tag on a record."""

    __tablename__ = "record_tags"

    record_kind: Mapped[str]
    record_id: Mapped[UUID]
    tag_id: Mapped[UUID]
