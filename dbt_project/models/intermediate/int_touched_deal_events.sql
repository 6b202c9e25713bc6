{% set touched = ref('int_touched_deals') %}

select
    event_id,
    organization_id,
    deal_id,
    type,
    aggregate_version,
    occurred_at,
    recorded_at,
    batch_id,
    actor,
    actor_id,
    pipeline_id,
    to_stage_id,
    owner_id,
    company_id,
    contact_id,
    source_id,
    lost_reason_id,
    outcome,
    amount_minor,
    currency,
    close_date
from {{ ref('stg_deal_events') }}
where
    -- a full refresh reads the whole of them where they are
    {{ 'false' if flags.FULL_REFRESH else 'true' }}
    and {{ has_key_in(ref('stg_deal_events'), ['organization_id', 'deal_id'], touched) }}
