select distinct organization_id
from {{ ref('stg_events') }}
where batch_id > {{ confirmed_batch_number() }}
