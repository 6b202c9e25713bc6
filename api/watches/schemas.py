"""Bodies and answers of watches."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.edge.fields import Flag, Name, Real, ShortText
from api.watches.periods import Period

_EXAMPLE: JsonDict = {
    "name": "Won this quarter",
    "metric": "bookings",
    "measure": "won_amount_minor",
    "period": "this_quarter",
    "direction": "above",
    "threshold": 25000000,
}
#: A figure: amounts in minor units, shares between 0 and 1. As large as doubles are exact.
Figure = Annotated[Real, Field(ge=-(10**15), le=10**15, allow_inf_nan=False)]
Question = Annotated[
    dict[ShortText, ShortText],
    Field(
        max_length=20,
        description="Parameters of the metric, as its own address takes them, but those of knowledge and time that"
        " stands still; `group` and `stage_id` name the row.",
    ),
]


class WatchCreate(BaseModel):
    """A figure to keep an eye on. With a direction and a threshold it is an alarm: a goal, or a limit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    metric: ShortText
    measure: ShortText = Field(description="One of the metric's figures.")
    question: Question = {}
    period: Period | None = Field(default=None, description="A period that moves on; else `from` and `to`, or neither.")
    direction: Literal["above", "below"] | None = None
    threshold: Figure | None = Field(default=None, description="In the figure's own unit: minor units, or a share.")
    margin: Annotated[Figure, Field(ge=0)] = Field(
        default=0.0, description="An alarm is over once the figure is back by more than this."
    )
    by_mail: Flag = Field(default=True, description="Whether alarms are mailed; webhooks get them as events.")
    digest: Literal["daily", "weekly"] | None = Field(
        default=None, description="Whether the figure is part of the mail in the morning, each day or on Mondays."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.direction is None) != (self.threshold is None):
            raise ValueError("direction and threshold go together")
        return self


class WatchUpdate(BaseModel):
    """The fields to change; those left out stay. Another figure is another watch."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"threshold": 30000000}]})

    # only fields that were sent count
    name: Name = ""
    direction: Literal["above", "below"] | None = None
    threshold: Figure | None = None
    margin: Annotated[Figure, Field(ge=0)] = 0.0
    by_mail: Flag = True
    digest: Literal["daily", "weekly"] | None = None


class WatchRead(BaseModel):
    """A watched figure, and what it came to when it was recorded last."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    metric: str
    measure: str
    question: dict[str, str]
    period: Period | None
    direction: Literal["above", "below"] | None
    threshold: float | None
    margin: float
    by_mail: bool
    digest: Literal["daily", "weekly"] | None
    value: float | None = Field(description="Null before it was told for the first time.")
    currency: str | None
    period_from: date | None
    recorded_at: datetime | None
    is_raised: bool = Field(description="Whether the alarm is on.")
    problem: str | None = Field(description="Why the figure cannot be told.")
    created_at: datetime
    updated_at: datetime
