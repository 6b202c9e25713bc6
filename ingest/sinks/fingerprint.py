"""A hash of an event's content, equal wherever the event is stored: md5 of its fields as text, the first 60 bits."""

_FIELDS = (
    "event_id, type, version, organization_id, aggregate_type, aggregate_id, aggregate_version, {occurred_at},"
    " {recorded_at}, actor, coalesce({actor_id}, ''), coalesce({causation_id}, ''), correlation_id, depth, {data}"
)

_POSTGRES_MICROSECONDS = "(extract(epoch from {0}) * 1000000)::bigint"

#: SQL expressions over the raw columns, or over those of `event_log`, which have the same names.
POSTGRES_HASH = "('x' || left(md5(concat_ws('|', {})), 15))::bit(60)::bigint".format(
    _FIELDS.format(
        occurred_at=_POSTGRES_MICROSECONDS.format("occurred_at"),
        recorded_at=_POSTGRES_MICROSECONDS.format("recorded_at"),
        actor_id="actor_id::text",
        causation_id="causation_id::text",
        data="data::text",
    )
)
POSTGRES_DAY = "(recorded_at at time zone 'UTC')::date"

DUCKDB_HASH = "('0x' || left(md5(concat_ws('|', {})), 15))::bigint".format(
    _FIELDS.format(
        occurred_at="epoch_us(occurred_at)",
        recorded_at="epoch_us(recorded_at)",
        actor_id="actor_id",
        causation_id="causation_id",
        data="data",
    )
)
#: By arithmetic: time zones need an extension of DuckDB that is not part of its Python package.
DUCKDB_DAY = "(date '1970-01-01' + (epoch_us(recorded_at) // 86400000000)::integer)"
