select distinct
    organization_id,
    deal_id
from {{ ref('stg_deal_events') }}
where batch_id > {{ confirmed_batch_number() }}
