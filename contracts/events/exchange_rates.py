"""Events of exchange rates: those of a day, after each change of them."""

from datetime import date
from typing import ClassVar

from pydantic import Field

from contracts.events.envelope import Event


class ExchangeRatesSet(Event):
    """The rates of a day are these."""

    aggregate_type: ClassVar[str] = "exchange_rates"
    topic: ClassVar[str] = "sluice.money"
    type: ClassVar[str] = "exchange_rates.set"

    day: date
    base: str = Field(description="ISO 4217 code of the currency whose unit costs so much.")
    rates: dict[str, str] = Field(description="Units of each currency for one of the base, as decimal text.")
