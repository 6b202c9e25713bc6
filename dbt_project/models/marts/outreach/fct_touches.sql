select
    -- ids
    organization_id,
    touch_id,
    recipient_id,
    campaign_id,
    deal_id,
    owner_id,

    -- facts
    sequence_step,
    variant,
    cast(campaign_id as text) || '/' || sequence_step || '/' || variant as arm,
    coalesce(channel, 'task') as channel,

    -- timestamps
    occurred_at as assigned_at,
    recorded_at as known_from,
    -- what was drawn stays drawn
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_recipient_events') }}
where type = 'campaign.step.assigned'
