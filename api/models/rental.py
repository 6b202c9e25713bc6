"""The ledger of accounts that were bought or rented."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class Rental(Aggregate):
    """One order: what it costs, for whom and how long, and how far it came."""

    __tablename__ = "rentals"
    __audited__ = (
        "rental",
        ("offer_id", "price_minor", "currency", "months", "renewing_months", "user_id", "state", "failure"),
    )

    offer_id: Mapped[str]
    channel: Mapped[str]
    title: Mapped[str]
    kind: Mapped[str]
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    months: Mapped[int | None] = mapped_column(BigInteger)
    #: Months that somebody wants on top, and which are to be paid.
    renewing_months: Mapped[int | None] = mapped_column(BigInteger)
    renewals: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[UUID | None]
    state: Mapped[str]
    payment_id: Mapped[str | None]
    account_id: Mapped[UUID | None]
    failure: Mapped[str | None]
    handed_over_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    handed_back_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(BigInteger)
