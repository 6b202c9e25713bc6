"""Base classes of all tables.

`TenantRow` is any row of an organization, `Aggregate` one whose changes are events. Reading through a relationship
that was not loaded is an error: say in the query what you need.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, Text, Uuid, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """Everything that is mapped."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    #: What the audit log calls such a row, and the columns whose changes it notes; None: no change is noted.
    __audited__: ClassVar[tuple[str, tuple[str, ...]] | None] = None
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        UUID: Uuid(as_uuid=True),
    }


class TenantRow(Base):
    """A row of one organization."""

    __abstract__ = True

    organization_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-20)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-19)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90)


class Aggregate(TenantRow):
    """A row whose changes are events: `version` is the number of its newest one."""

    __abstract__ = True

    version: Mapped[int] = mapped_column(BigInteger, default=0, sort_order=80)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now(), sort_order=91)
