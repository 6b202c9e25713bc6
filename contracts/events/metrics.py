"""Events of metrics: figures that somebody watches, what they came to, and when they crossed a threshold."""

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.events.envelope import Event


class MetricEvent(Event):
    """Any event of a watched figure. The aggregate is the watch."""

    aggregate_type: ClassVar[str] = "metric"
    topic: ClassVar[str] = "sluice.automation"


class _Watch(MetricEvent):
    user_id: UUID = Field(description="Who watches; the figure is counted over the records that they see.")
    metric: str
    measure: str
    direction: Literal["above", "below"] | None
    threshold: float | None
    margin: float


class MetricWatched(_Watch):
    """A figure is watched from now on, for the first time or otherwise than before."""

    type: ClassVar[str] = "metric.watched"


class MetricUnwatched(MetricEvent):
    """Nobody watches it any more."""

    type: ClassVar[str] = "metric.unwatched"


class _Figure(MetricEvent):
    metric: str
    definition_version: int = Field(ge=1, description="Version of the metric's definition that counted.")
    measure: str
    value: float | None = Field(description="Amounts in minor units of `currency`; null where there is none.")
    currency: str | None
    period_from: date | None
    period_to: date | None = Field(description="The day after the period's last one.")
    as_of: AwareDatetime | None = Field(description="The newest fact that the figure knew of.")


class MetricRecorded(_Figure):
    """A publication of the warehouse changed a watched figure."""

    type: ClassVar[str] = "metric.recorded"

    before: float | None = Field(description="What was recorded before; null where nothing was.")


class MetricAlarmRaised(_Figure):
    """A watched figure crossed its threshold."""

    type: ClassVar[str] = "metric.alarm.raised"

    direction: Literal["above", "below"]
    threshold: float


class MetricAlarmCleared(_Figure):
    """It is back, by more than the margin."""

    type: ClassVar[str] = "metric.alarm.cleared"

    direction: Literal["above", "below"]
    threshold: float
