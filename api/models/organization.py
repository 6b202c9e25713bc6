"""Organizations: the tenants, and how each counts its days and money."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base


class Organization(Base):
    """One organization. Its id is its `organization_id`."""

    __tablename__ = "organizations"
    __audited__ = (
        "organization",
        ("name", "time_zone", "currency", "week_start", "fiscal_year_start_month", "requires_second_factor"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    time_zone: Mapped[str]
    currency: Mapped[str]
    week_start: Mapped[int] = mapped_column(SmallInteger)
    fiscal_year_start_month: Mapped[int] = mapped_column(SmallInteger)
    requires_second_factor: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    __mapper_args__ = {"version_id_col": version, "version_id_generator": False, "eager_defaults": True}
