"""A large, plausible event log by one statement of PostgreSQL: deals that are created, moved, revalued and closed.

Several organizations over eighteen months, every event delivered long ago. What it holds depends on its size alone.
"""

import psycopg

_ORGANIZATIONS = 10
_USERS = 20
_STAGES = 6
_EVENTS_PER_DEAL = 6

_COLUMNS = (
    "event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version, occurred_at,"
    " recorded_at, actor, actor_id, correlation_id, data"
)

#: Ids of things, from what they are: the same in every run.
_ID = "md5('{kind}' || {number})::uuid"
_BEGINNING = "timestamptz '2025-01-06 08:00:00+00'"

_CONFIGURATION = f"""
insert into event_log ({_COLUMNS})
select md5('configured' || n)::uuid, organization_id, type, 1, split_part(type, '.', 1), aggregate_id, 1, at, at,
       'system', null, organization_id, data
from (
    select row_number() over () as n, c.*, {_BEGINNING} as at
    from generate_series(0, {_ORGANIZATIONS - 1}) as o (number)
    cross join lateral (select {_ID.format(kind="organization", number="o.number")} as organization_id) as i
    cross join lateral (
        select i.organization_id, 'organization.created' as type, i.organization_id as aggregate_id,
               jsonb_build_object('time_zone', case when o.number % 2 = 0 then 'Europe/Berlin' else 'UTC' end,
                   'currency', 'EUR', 'week_start', 1, 'fiscal_year_start_month', 1) as data
        union all
        select i.organization_id, 'user.created', {_ID.format(kind="user", number="o.number || '-' || u")},
               jsonb_build_object('role', 'rep', 'record_scope', 'own', 'is_active', true)
        from generate_series(0, {_USERS - 1}) as u
        union all
        select i.organization_id, 'pipeline.created', {_ID.format(kind="pipeline", number="o.number")},
               jsonb_build_object('name', 'Sales', 'is_active', true)
        union all
        select i.organization_id, 'stage.created', {_ID.format(kind="stage", number="o.number || '-' || s")},
               jsonb_build_object('pipeline_id', {_ID.format(kind="pipeline", number="o.number")},
                   'name', 'Stage ' || s, 'position', 10 * s, 'target_days', null,
                   'kind', case s when {_STAGES - 1} then 'won' when {_STAGES} then 'lost' else 'open' end)
        from generate_series(1, {_STAGES}) as s
    ) as c (organization_id, type, aggregate_id, data)
) as configured
"""

# a deal of n events: created, then moved, revalued and handed over by turns, and four of five are closed at last
_DEALS = f"""
insert into event_log ({_COLUMNS})
select md5('event' || d || '-' || k)::uuid, organization_id, type, 1, 'deal', deal_id, k, occurred_at,
       occurred_at + interval '40 milliseconds', 'user', owner_id, md5('request' || d || '-' || k)::uuid,
       jsonb_strip_nulls(jsonb_build_object(
           'pipeline_id', case when enters then pipeline_id end,
           'from_stage_id', case when enters and k > 1 then md5('stage' || o || '-' || before)::uuid end,
           'to_stage_id', case when enters then md5('stage' || o || '-' || stage)::uuid end,
           'outcome', case when type = 'deal.closed' then case stage when {_STAGES - 1} then 'won' else 'lost' end end,
           'amount_minor', case when is_priced then 10000 + (d::bigint * 7919 + k * 104729) %% 5000000 end,
           'currency', case when is_priced then 'EUR' end,
           'owner_id', case when k = 1 or type = 'deal.owner.changed' then owner_id end
       ))
from (
    select *, type in ('deal.created', 'deal.stage.changed', 'deal.closed') as enters,
           type in ('deal.created', 'deal.amount.changed') as is_priced,
           case type when 'deal.closed' then {_STAGES - 1} + d %% 3 %% 2
               else 1 + (k - 1) / 2 %% {_STAGES - 2} end as stage,
           1 + greatest(k - 3, 0) / 2 %% {_STAGES - 2} as before,
           {_ID.format(kind="organization", number="o")} as organization_id,
           {_ID.format(kind="pipeline", number="o")} as pipeline_id,
           {_ID.format(kind="deal", number="d")} as deal_id,
           md5('user' || o || '-' || (d + k / 4) %% {_USERS})::uuid as owner_id,
           {_BEGINNING} + interval '1 hour' + (d::float8 / %(deals)s) * interval '500 days'
               + (k - 1) * interval '37 hours' + d %% 1000 * interval '1 second' as occurred_at
    from (
        select d, k, d %% {_ORGANIZATIONS} as o,
               case when k = 1 then 'deal.created'
                    when k = length and d %% 5 > 0 then 'deal.closed'
                    when k %% 2 = 1 then 'deal.stage.changed'
                    when k %% 4 = 2 then 'deal.amount.changed'
                    else 'deal.owner.changed' end as type
        from generate_series(1, %(deals)s) as d
        cross join lateral (select {_EVENTS_PER_DEAL - 3} + d %% 7 as length) as l
        cross join lateral generate_series(1, length) as k
    ) as steps
) as facts
order by occurred_at
"""


def seed_event_log(admin_url: str, *, events: int) -> int:
    """Fill an empty event log with about `events` events, and note them as delivered; how many there are.

    Raises:
        psycopg.Error: the database cannot be written, or the role is no superuser.
    """
    with psycopg.connect(admin_url) as connection:
        # no trigger fires: nothing is announced, and nothing waits in the outbox
        connection.execute("set session_replication_role = replica")
        connection.execute("set local synchronous_commit = off")
        connection.execute(_CONFIGURATION)
        connection.execute(_DEALS, {"deals": max(1, round(events / _EVENTS_PER_DEAL))})
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze event_log")
        row = connection.execute("select count(*) from event_log").fetchone()
    return int(row[0]) if row else 0
