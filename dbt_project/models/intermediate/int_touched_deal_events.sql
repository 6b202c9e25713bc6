{% set touched = ref('int_touched_deals') %}

select *
from {{ ref('stg_deal_events') }}
where
    -- a full refresh reads the whole of them where they are
    {{ 'false' if flags.FULL_REFRESH else 'true' }}
    and (organization_id, deal_id) in (select organization_id, deal_id from {{ touched }})
