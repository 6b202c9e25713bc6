"""Goals of people, teams and the organization."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Goal(Aggregate):
    """What is to be won from a day to the day before another."""

    __tablename__ = "goals"
    __not_of_contacts__ = ("measure", "currency")

    user_id: Mapped[UUID | None]
    team_id: Mapped[UUID | None]
    measure: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    target: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    deleted_at: Mapped[datetime | None]
