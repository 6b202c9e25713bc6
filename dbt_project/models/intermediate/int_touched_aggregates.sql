select
    organization_id,
    aggregate_type,
    aggregate_id,
    min(recorded_at) as first_recorded_at,
    max(batch_id) as last_batch
from {{ ref('stg_events') }}
where batch_id > {{ confirmed_batch_number() }}
group by organization_id, aggregate_type, aggregate_id
