"""Shapes of metric answers."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.metrics.pipeline import Alarm
from metrics.status import Check, GroupStatus, Refresh


class VersionRead(BaseModel):
    """A version of a metric: what changed with it, and since when it answers (null: from the start)."""

    version: int
    on: date | None
    change: str
    definition: str | None = Field(description="Hash of what it says; null where it can no longer be asked.")


class MetricRead(BaseModel):
    """A metric's present definition, and how it came about. Each version listed answers `?version=`."""

    name: str
    label: str
    version: int
    description: str
    entity: str = Field(description="What it speaks of; its rows are facts of this kind.")
    unit: str
    grain: str
    owner: str
    formula: str
    parameters: list[str]
    dimensions: list[str]
    measures: list[str]
    policy: list[str]
    definition: str
    changelog: list[VersionRead]


class WarehouseVersionRead(BaseModel):
    """A version of the figures that `?warehouse_version=` can ask for: the current one, or the one with which a day
    (UTC) ended."""

    version: str
    published_at: datetime
    is_current: bool
    groups: list[GroupStatus] = Field(description="In which version each group's rows changed last, and how far it is.")
    checks: dict[str, int] = Field(
        description="How many checks of the data stood at ok, warn and failed when it was published."
    )


class Behind(BaseModel):
    """Everything that was recorded up to `through` is in the answer; `events_behind` later events are not."""

    through: datetime | None
    events_behind: int


class OtherCurrency(BaseModel):
    """Facts behind a figure whose amounts it does not hold; `amount_minor` is in minor units of `currency`."""

    figure: str
    currency: str
    facts: int
    amount_minor: int


class MetricAnswer(BaseModel):
    """A metric's figures and everything that decided them. What a row holds is the metric's own.

    An answer of an asked `as_of` stays as it is for ever, byte for byte: what is of today (the warehouse's version, how
    fresh it is, names of people) is not in it, unless `names=today` asks for names. Headers tell the rest.
    """

    metric: str
    version: int
    definition: str
    parameters: dict[str, Any]
    as_of: datetime
    warehouse_version: str | None = None
    freshness: Behind | None = None
    rows: list[dict[str, Any]]
    totals: list[dict[str, Any]] = Field(
        description="What the rows of each group split; empty where they split nothing."
    )
    labels: dict[str, str]
    notes: list[str]
    other_currencies: list[OtherCurrency] = Field(
        description="Amounts that are in no sum, because they are in other currencies and have no rate."
    )


class FactBehind(BaseModel):
    """A fact behind a figure: its id, and what its entity shows. `value` is what it adds to the figure."""

    model_config = ConfigDict(extra="allow")

    group: str | None
    days: float | None
    value: float | int | None


class DealBehind(BaseModel):
    """A deal behind a figure. Amount and currency are those that the figure counts; `value` is what it adds."""

    deal_id: UUID
    title: str | None
    owner_id: UUID | None
    stage_id: UUID
    status: str
    created_at: datetime
    closed_at: datetime | None
    group: str | None
    amount_minor: int | None
    currency: str | None
    counted_minor: int | None = Field(description="The amount in the asked currency; null where it has no rate.")
    days: float | None
    lost_reason_id: UUID | None
    value: float | int | None


class Total(BaseModel):
    """Of all facts behind the figure; the amount is in the asked currency, null where nothing has one."""

    count: int
    amount_minor: int | None
    currency: str | None


class FactsBehind(BaseModel):
    """One page of the facts behind a figure."""

    entity: str
    items: list[DealBehind | FactBehind]
    next_cursor: str | None
    total: Total
    labels: dict[str, str]
    as_of: datetime
    warehouse_version: str | None = None


class Restated(BaseModel):
    """A fact that changed a figure: what it added before, and adds now (null: it was not, or is not, behind it)."""

    model_config = ConfigDict(extra="allow")

    change: str = Field(description="appeared, gone or changed.")
    before: int | None
    after: int | None
    difference: int


class RestatementsRead(BaseModel):
    """Why a figure is another than it was known to be. `items` and `others_difference` add up to `difference`."""

    metric: str
    measure: str
    from_as_of: datetime
    to_as_of: datetime
    before: int
    after: int
    difference: int
    items: list[Restated] = Field(description="The facts that changed it, the largest first; a thousand at most.")
    others: int = Field(description="How many more there are.")
    others_difference: int


class Process(BaseModel):
    """One process of the installation, as it last reported itself; what it counts is for operators (`/metrics`)."""

    name: str
    state: str = Field(description="What the process says of itself; `silent` when it has not reported for a minute.")
    seen_at: datetime


class Reconciliation(BaseModel):
    """What the last comparison of PostgreSQL, the warehouse's events and the published figures found, of the caller's
    organization alone."""

    checked_at: datetime
    is_clean: bool
    events: int = Field(description="Events compared, those on their way included.")
    in_flight: int = Field(description="Events that were on their way to the warehouse.")
    missing: int = Field(description="Events that the warehouse lacked.")
    extra: int = Field(description="Events in the warehouse that Sluice does not know.")
    different: int = Field(description="Events whose content was another in the warehouse.")
    wrong_figures: int | None = Field(description="Published figures that were wrong; null where none were compared.")
    repaired_at: datetime | None = Field(description="When differences were last put right.")


class FreshnessRead(BaseModel):
    """How fresh and how sound the figures are. `events_behind` speaks of the caller's organization."""

    warehouse_version: str | None
    published_at: datetime | None
    through: datetime | None
    events_behind: int
    processes: list[Process]
    alarms: list[Alarm] = Field(description="What is wrong on the way from PostgreSQL to the warehouse.")
    checks: list[Check]
    last_refresh: Refresh | None
    groups: list[GroupStatus] = Field(
        description="How each group of figures stands: one with an error stays as it was, whatever the others do."
    )
    reconciliation: Reconciliation | None
