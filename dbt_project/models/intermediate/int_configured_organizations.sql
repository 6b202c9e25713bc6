select distinct
    organization_id,
    aggregate_type
from {{ ref('stg_setup_events') }}
where batch_id > {{ confirmed_batch_number() }}
