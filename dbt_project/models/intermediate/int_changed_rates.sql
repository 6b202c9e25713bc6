select distinct
    organization_id,
    rates_id
from {{ ref('stg_exchange_rate_events') }}
where batch_id > {{ confirmed_batch_number() }}
