"""The API's answers as the pages use them. Fields that no page shows are left out; unknown ones are ignored."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from contracts.stages import StageKind


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Organization(_Answer):
    """The organization's name, and the zone, currency and calendar in which it reads figures."""

    id: UUID
    name: str
    time_zone: str = "UTC"
    currency: str = "EUR"
    fiscal_year_start_month: int = 1
    created_at: datetime | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The organization's time zone."""
        return ZoneInfo(self.time_zone)


class Me(_Answer):
    """Who is signed in."""

    id: str
    name: str
    email: str
    role: str
    record_scope: str
    organization: Organization


class Stage(_Answer):
    """A stage as it is called now."""

    id: str
    name: str
    kind: StageKind
    position: int


class Pipeline(_Answer):
    """A pipeline as it is called now, with its stages."""

    id: str
    name: str
    is_active: bool = True
    stages: list[Stage] = []


class Behind(_Answer):
    """How fresh an answer is: everything recorded up to `through` is in it."""

    through: datetime | None
    events_behind: int | None


class Elsewhere(_Answer):
    """What a sum of money leaves out, because it is in another currency: how many facts, and how much."""

    figure: str
    currency: str
    facts: int
    amount_minor: int


class MetricAnswer(_Answer):
    """What every metric answers, whatever its rows hold."""

    metric: str
    version: int
    definition: str
    parameters: dict[str, Any]
    as_of: datetime
    totals: list[dict[str, Any]] = []
    labels: dict[str, str] = {}
    notes: list[str] = []
    other_currencies: list[Elsewhere] = []

    def label(self, key: object) -> str:
        """The name to show for an id, or a word for "none" and for a name that is gone."""
        if key is None or key == "":
            return "None"
        return self.labels.get(str(key), str(key))


class FiguresAnswer(MetricAnswer):
    """Any metric; a row holds its group and the metric's own figures."""

    rows: list[dict[str, Any]]


class FunnelRow(_Answer):
    """One stage (of one group). With `unit=amount`, the figures are minor units instead of deals."""

    group: str | None = None
    stage_id: str
    position: int
    kind: StageKind
    entered: int
    share_of_cohort: float | None
    share_of_previous: float | None
    median_days: float | None
    p90_days: float | None
    still_here: int
    lost: int
    lost_reasons: dict[str, int] = {}
    moved_back: int


class Placed(_Answer):
    """Where a cohort (of one group) stands: what is open, lost and won is all of it."""

    group: str | None = None
    cohort: int
    still_here: int
    lost: int
    won: int


class FunnelAnswer(MetricAnswer):
    """The funnel metric."""

    rows: list[FunnelRow]
    totals: list[Placed] = []  # type: ignore[assignment]  # a kind of it

    def size(self, group: str | None = None) -> int:
        """The cohort of a group; of an answer without groups, all of it."""
        return next((total.cohort for total in self.totals if total.group == group), 0)


class TeamRow(_Answer):
    """One owner's or team's figures for the period."""

    owner_id: str | None = None
    team_id: str | None = None
    deals_created: int
    deals_won: int
    deals_lost: int
    win_rate: float | None
    won_amount_minor: int
    currency: str
    median_cycle_days: float | None
    open_deals: int
    open_amount_minor: int


class TeamAnswer(MetricAnswer):
    """The team_performance metric."""

    rows: list[TeamRow]


class DealRow(_Answer):
    """A deal behind a figure; `value` is what it adds to that figure."""

    deal_id: str
    title: str | None = None
    owner_id: str | None
    stage_id: str | None
    status: str
    amount_minor: int | None
    currency: str | None
    value: float | None = None
    created_at: datetime | None = None
    closed_at: datetime | None = None
    days: float | None = None
    lost_reason_id: str | None = None


class Total(_Answer):
    """The sum of all the deals behind a figure, also of those on later pages."""

    count: int
    amount_minor: int | None


class DealsAnswer(_Answer):
    """One page of the deals behind a figure."""

    items: list[DealRow]
    next_cursor: str | None
    total: Total
    labels: dict[str, str] = {}


class Process(_Answer):
    """One process of the pipeline, as it last reported itself."""

    name: str
    state: str | None = None
    seen_at: datetime | None = None


class Check(_Answer):
    """A check of the data, as it last ended."""

    name: str
    status: str
    message: str | None = None
    finished_at: datetime | None = None


class Refresh(_Answer):
    """The last attempt to bring the figures up to date."""

    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None


class Alarm(_Answer):
    """Something wrong on the way from PostgreSQL to the warehouse, and what to do."""

    name: str
    message: str
    advice: str


class Reconciliation(_Answer):
    """How the organization's events and figures compared with what was entered, when last looked at."""

    checked_at: datetime
    is_clean: bool
    events: int
    in_flight: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    wrong_figures: int | None = None
    repaired_at: datetime | None = None


class Group(_Answer):
    """How a group of figures stands."""

    name: str
    version: str | None = None
    through: datetime | None = None
    error: str | None = None


class Freshness(_Answer):
    """How fresh and how sound the figures are."""

    warehouse_version: str | None
    published_at: datetime | None
    through: datetime | None
    events_behind: int | None
    processes: list[Process] = []
    alarms: list[Alarm] = []
    checks: list[Check] = []
    last_refresh: Refresh | None = None
    groups: list[Group] = []
    reconciliation: Reconciliation | None = None
