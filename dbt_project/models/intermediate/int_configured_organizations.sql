select distinct organization_id
from {{ ref('stg_setup_events') }}
where
    aggregate_type in ('organization', 'team', 'user')
    and batch_id > {{ confirmed_batch_number() }}
