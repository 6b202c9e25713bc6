{{
    config(
        materialized='maintained',
        indexes=[
            {'columns': ['event_id'], 'unique': true},
            {'columns': ['batch_id']},
            {'columns': ['organization_id', 'aggregate_type', 'aggregate_id']},
        ],
    )
}}

{% set since = unread_since(this) %}

-- not materialized: each reading takes the columns that it needs
with unread as not materialized (
    select
        cast(event_id as uuid) as event_id,
        cast(organization_id as uuid) as organization_id,
        type,
        version,
        aggregate_type,
        cast(aggregate_id as uuid) as aggregate_id,
        aggregate_version,
        occurred_at,
        recorded_at,
        actor,
        cast(actor_id as uuid) as actor_id,
        data,
        loaded_at,
        topic,
        "partition",
        "offset"
    from {{ raw_events(since) }}
    where loaded_at >= {{ since }}
),

-- of events that were delivered again the first copy counts
repeated as (
    select event_id from unread
    group by event_id
    having count(*) > 1
),

copies as (
    select
        *,
        row_number() over (partition by event_id order by loaded_at, topic, "partition", "offset") as copy_number
    from unread
    where event_id in (select event_id from repeated)
),

delivered as (
    select
        *,
        1 as copy_number
    from unread
    where
        not exists (
            select 1 from repeated
            where repeated.event_id = unread.event_id
        )
    union all
    select * from copies
),

unseen as (
    select * from delivered
    where
        copy_number = 1
        and {{ is_unseen(this, 'delivered') }}
),

batch as (
    select 1 + greatest({{ newest_batch(this) }}, {{ confirmed_batch() }}) as batch_id
)

select
    -- ids
    unseen.event_id,
    unseen.organization_id,
    unseen.aggregate_type,
    unseen.aggregate_id,
    unseen.aggregate_version,
    unseen.actor,
    unseen.actor_id,

    -- what happened
    unseen.type,
    unseen.version,
    unseen.data,

    -- timestamps
    unseen.occurred_at,
    unseen.recorded_at,
    unseen.loaded_at,

    -- bookkeeping
    cast(batch.batch_id as bigint) as batch_id
from unseen
cross join batch
