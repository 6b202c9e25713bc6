"""Bodies and answers of goals."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import NUMBER_ONLY, CurrencyCode, Day
from contracts.money import LARGEST_AMOUNT_MINOR

Measure = Literal["won_amount", "deals_won"]

_EXAMPLE: JsonDict = {
    "measure": "won_amount",
    "starts_on": "2026-07-01",
    "months": 3,
    "target": 25000000,
    "currency": "EUR",
}


def _first_of_month(day: date) -> date:
    if day.day != 1:
        raise ValueError("must be the first day of a month")
    return day


FirstDay = Annotated[Day, AfterValidator(_first_of_month)]
Target = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=LARGEST_AMOUNT_MINOR,
        description="A number of deals, or an amount in minor units of `currency`.",
    ),
]


class GoalCreate(BaseModel):
    """A new goal: of a user, of a team, or, with neither, of the organization."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    user_id: UUID | None = None
    team_id: UUID | None = None
    measure: Measure
    starts_on: FirstDay
    months: Annotated[Literal[1, 3], NUMBER_ONLY] = Field(description="1 for a month, 3 for a quarter.")
    target: Target
    currency: CurrencyCode | None = Field(default=None, description="Of an amount.")

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if self.user_id is not None and self.team_id is not None:
            raise ValueError("a goal is of a user or of a team, not of both")
        if (self.measure == "won_amount") != (self.currency is not None):
            raise ValueError("an amount has a currency, a number of deals has none")
        return self

    @property
    def ends_on(self) -> date:
        """The day after its last one."""
        months = self.starts_on.year * 12 + self.starts_on.month - 1 + self.months
        return date(months // 12, months % 12 + 1, 1)


class GoalUpdate(BaseModel):
    """Another target."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"target": 30000000}]})

    target: Target


class GoalRead(BaseModel):
    """A goal. It ends the day before `ends_on`."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    user_id: UUID | None
    team_id: UUID | None
    measure: str
    starts_on: date
    ends_on: date
    target: int
    currency: str | None
    created_at: datetime
    updated_at: datetime
