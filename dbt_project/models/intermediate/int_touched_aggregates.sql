select
    organization_id,
    aggregate_type,
    aggregate_id,
    min(occurred_at) as first_occurred_at,
    min(recorded_at) as first_recorded_at,
    max(recorded_at) as last_recorded_at
from {{ ref('stg_events') }}
where batch_id > {{ confirmed_batch() }}
group by organization_id, aggregate_type, aggregate_id
