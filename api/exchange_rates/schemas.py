"""Bodies and answers of exchange rates."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.edge.fields import CurrencyCode
from api.exchange_rates.ecb import is_rate
from contracts.money import RATE_DIGITS


def _checked(rate: Decimal) -> Decimal:
    if not is_rate(rate):
        raise ValueError(f"must be positive, at most 1000000000, with at most {RATE_DIGITS} decimals")
    return rate


Rate = Annotated[
    Decimal, Field(max_digits=28, description="Units of the currency for one of the base."), AfterValidator(_checked)
]


class ExchangeRatesPut(BaseModel):
    """Rates of a day. Those that are not named stay; null takes one away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"base": "EUR", "rates": {"USD": "1.1346", "JPY": "163.42"}}]}
    )

    base: CurrencyCode
    rates: Annotated[dict[CurrencyCode, Rate | None], Field(min_length=1, max_length=200)]


class ExchangeRatesRead(BaseModel):
    """The rates of a day. They count until the next day that has some, 35 days at most."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    day: date
    base: str
    rates: dict[str, str] = Field(description="Units of each currency for one of the base, as decimal text.")
    created_at: datetime
    updated_at: datetime


class ExchangeRatesImported(BaseModel):
    """What an import did."""

    days: int = Field(description="Days with rates in the file, from the asked day on.")
    changed: int = Field(description="Days whose rates are others than before.")
    first_day: date | None
    last_day: date | None
    left_out: list[str] = Field(description="Currencies of the file that are not in use any more.")
