"""Names in the warehouse: the raw relation that the loader writes, and the marts that readers may open."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

_DUCKDB = "duckdb://"


def duckdb_url(folder: Path) -> str:
    """The URL of a DuckDB warehouse. What follows `duckdb://` is a path as it is, whatever its characters."""
    return f"{_DUCKDB}{folder.absolute()}"


def duckdb_folder(warehouse_url: str) -> Path | None:
    """The folder of a DuckDB warehouse; None where the warehouse is PostgreSQL."""
    return Path(warehouse_url.removeprefix(_DUCKDB)) if warehouse_url.startswith(_DUCKDB) else None


#: Name of the raw relation: a Delta table's folder, or a PostgreSQL table in schema RAW_SCHEMA.
RAW_EVENTS = "events"
RAW_SCHEMA = "raw"

#: Says when raw was last rewritten from PostgreSQL, in microseconds of Unix time; 0, or nothing, if it only ever grew.
#: A Delta table keeps it as an application transaction of this name, PostgreSQL in a table of RAW_SCHEMA with one row,
#: beside the count of the raw relation's rows and their newest `recorded_at`, which a Delta log has by itself. It moves
#: in the commit that rewrites: marts that were built from an older generation have to be built anew.
RAW_GENERATION = "generation"

#: Schema in which dbt builds, and the one that readers see (PostgreSQL warehouse).
BUILD_SCHEMA = "build"
PUBLISHED_SCHEMA = "published"

#: Columns of the raw relation in order: name -> (Arrow-like type, PostgreSQL type). Timestamps are UTC microseconds.
RAW_EVENT_COLUMNS: dict[str, tuple[str, str]] = {
    "event_id": ("string", "uuid"),
    "type": ("string", "text"),
    "version": ("int32", "integer"),
    "organization_id": ("string", "uuid"),
    "aggregate_type": ("string", "text"),
    "aggregate_id": ("string", "uuid"),
    "aggregate_version": ("int64", "bigint"),
    "occurred_at": ("timestamp", "timestamptz"),
    "recorded_at": ("timestamp", "timestamptz"),
    "actor": ("string", "text"),
    "actor_id": ("string", "uuid"),
    "causation_id": ("string", "uuid"),
    "correlation_id": ("string", "uuid"),
    "depth": ("int32", "integer"),
    "data": ("string", "jsonb"),
    "epoch": ("string", "uuid"),
    "topic": ("string", "text"),
    "partition": ("int32", "integer"),
    "offset": ("int64", "bigint"),
    "loaded_at": ("timestamp", "timestamptz"),
}


class Group(StrEnum):
    """Models that are built, checked and published together (dbt's groups); what fails in one stops no other.

    EVENTS is what each refresh begins with, SHARED what every other may read.
    """

    EVENTS = "events"
    SHARED = "shared"
    SALES = "sales"
    ACCESS = "access"
    ACTIVITIES = "activities"
    CONVERSATIONS = "conversations"
    ACCOUNTS = "accounts"
    RECORDS = "records"
    RELATIONS = "relations"
    BILLING = "billing"
    DRAFTS = "drafts"
    OUTREACH = "outreach"
    SCORING = "scoring"
    AUTOMATION = "automation"
    MONEY = "money"
    LEADS = "leads"


class Speed(StrEnum):
    """Live marts follow the events within seconds, settled ones are built anew every few minutes."""

    LIVE = "live"
    SETTLED = "settled"


class Mart(StrEnum):
    """Published relations, with their group and speed. `organization_id` leads every key."""

    group: Group
    speed: Speed

    def __new__(cls, name: str, group: Group, speed: Speed = Speed.SETTLED) -> Self:
        """A mart by its relation's name."""
        mart = str.__new__(cls, name)
        mart._value_ = name
        mart.group, mart.speed = group, speed
        return mart

    @classmethod
    def named(cls, relation: str) -> "Mart | None":
        """The mart that is this relation; None where none is."""
        return next((mart for mart in cls if mart.value == relation), None)

    WAREHOUSE_FRESHNESS = "warehouse_freshness", Group.EVENTS, Speed.LIVE
    DIM_DATES = "dim_dates", Group.SHARED, Speed.LIVE
    DIM_ORGANIZATIONS = "dim_organizations", Group.SHARED, Speed.LIVE
    DIM_USERS = "dim_users", Group.SHARED, Speed.LIVE
    DIM_TEAMS = "dim_teams", Group.SHARED, Speed.LIVE
    DIM_TEAM_MEMBERS = "dim_team_members", Group.SHARED, Speed.LIVE
    DIM_PIPELINES = "dim_pipelines", Group.SALES, Speed.LIVE
    DIM_STAGES = "dim_stages", Group.SALES, Speed.LIVE
    FCT_STAGE_ENTRIES = "fct_stage_entries", Group.SALES, Speed.LIVE
    FCT_DEAL_VERSIONS = "fct_deal_versions", Group.SALES, Speed.LIVE
    FCT_DEALS = "fct_deals", Group.SALES, Speed.LIVE
    FUNNEL_DAILY = "funnel_daily", Group.SALES
    PIPELINE_DAILY = "pipeline_daily", Group.SALES
    FORECAST_DAILY = "forecast_daily", Group.SALES
    LEAD_FEATURES = "lead_features", Group.SALES, Speed.LIVE
    TEAM_PERFORMANCE_DAILY = "team_performance_daily", Group.SALES
    FCT_ASSIGNMENTS = "fct_assignments", Group.SALES
    FCT_LINE_ITEMS = "fct_line_items", Group.SALES
    FCT_DEAL_SCORES = "fct_deal_scores", Group.SALES
    FCT_SIGN_INS = "fct_sign_ins", Group.ACCESS
    FCT_ACTIVITIES = "fct_activities", Group.ACTIVITIES
    FCT_TASKS = "fct_tasks", Group.ACTIVITIES
    FCT_FILES = "fct_files", Group.ACTIVITIES
    FCT_RULE_FIRINGS = "fct_rule_firings", Group.AUTOMATION
    FCT_CONVERSATIONS = "fct_conversations", Group.CONVERSATIONS
    FCT_MESSAGES = "fct_messages", Group.CONVERSATIONS
    FCT_RENTAL_PAYMENTS = "fct_rental_payments", Group.ACCOUNTS
    FCT_ACCOUNT_DAYS = "fct_account_days", Group.ACCOUNTS
    FCT_CUSTOM_VALUES = "fct_custom_values", Group.RECORDS
    FCT_RELATIONS = "fct_relations", Group.RELATIONS
    FCT_SUBSCRIPTIONS = "fct_subscriptions", Group.BILLING
    FCT_USAGE = "fct_usage", Group.BILLING
    FCT_INVOICES = "fct_invoices", Group.BILLING
    FCT_DRAFTS = "fct_drafts", Group.DRAFTS
    FCT_DRAFT_STEPS = "fct_draft_steps", Group.DRAFTS
    FCT_TOUCHES = "fct_touches", Group.OUTREACH
    FCT_TOUCH_STEPS = "fct_touch_steps", Group.OUTREACH
    FCT_RECIPIENTS = "fct_recipients", Group.OUTREACH
    FCT_RECIPIENT_STEPS = "fct_recipient_steps", Group.OUTREACH
    FCT_SCORES = "fct_scores", Group.SCORING
    FCT_EXCHANGE_RATES = "fct_exchange_rates", Group.MONEY, Speed.LIVE
    FCT_GOALS = "fct_goals", Group.MONEY
    FCT_LEADS = "fct_leads", Group.LEADS
    FCT_LEAD_MOMENTS = "fct_lead_moments", Group.LEADS


class Part(NamedTuple):
    """A group as far as it has one speed: what is built, confirmed and published at once."""

    group: Group
    speed: Speed

    def __str__(self) -> str:
        return self.group.value if self.speed is Speed.LIVE else f"{self.group.value} ({self.speed.value})"

    @property
    def marts(self) -> list[Mart]:
        """Its marts, in the order of their declaration."""
        return [mart for mart in Mart if (mart.group, mart.speed) == self]
