select distinct organization_id
from {{ ref('stg_setup_events') }}
where
    aggregate_type in ('pipeline', 'stage')
    and batch_id > {{ confirmed_batch_number() }}
