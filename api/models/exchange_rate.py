"""Exchange rates of an organization, one row per day."""

from datetime import date

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate


class ExchangeRateDay(Aggregate):
    """What one unit of `base` cost on a day, by currency, as decimal text."""

    __tablename__ = "exchange_rate_days"
    __not_of_contacts__ = ("base", "rates")

    day: Mapped[date]
    base: Mapped[str]
    rates: Mapped[dict[str, str]] = mapped_column(JSONB)
