{{
    config(
        materialized='maintained',
        indexes=[{'columns': ['organization_id', 'aggregate_type']}, {'columns': ['batch_id']}],
    )
}}

select
    -- ids
    event_id,
    organization_id,
    aggregate_type,
    aggregate_id,

    -- what happened
    type,
    aggregate_version,
    data,

    -- timestamps
    occurred_at,
    recorded_at,

    -- bookkeeping
    batch_id
from {{ ref('stg_events') }}
where
    aggregate_type in ('organization', 'pipeline', 'stage', 'team', 'user')
    and type != 'user.logged_in'
    and batch_id > {{ newest_batch(this) }}
