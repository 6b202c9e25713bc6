"""Names in the warehouse: the raw relation that the loader writes, and the marts that readers may open."""

from enum import StrEnum

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


class Mart(StrEnum):
    """Published relations. `organization_id` leads every key."""

    DIM_DATES = "dim_dates"
    DIM_ORGANIZATIONS = "dim_organizations"
    DIM_PIPELINES = "dim_pipelines"
    DIM_STAGES = "dim_stages"
    DIM_USERS = "dim_users"
    DIM_TEAMS = "dim_teams"
    DIM_TEAM_MEMBERS = "dim_team_members"
    FCT_STAGE_ENTRIES = "fct_stage_entries"
    FCT_DEAL_VERSIONS = "fct_deal_versions"
    FCT_DEALS = "fct_deals"
    FUNNEL_DAILY = "funnel_daily"
    PIPELINE_DAILY = "pipeline_daily"
    TEAM_PERFORMANCE_DAILY = "team_performance_daily"
    WAREHOUSE_FRESHNESS = "warehouse_freshness"
