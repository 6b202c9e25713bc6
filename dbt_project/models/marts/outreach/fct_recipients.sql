select
    -- ids
    organization_id,
    recipient_id,
    campaign_id,
    contact_id,
    deal_id,
    owner_id,

    -- timestamps
    occurred_at as enrolled_at,
    recorded_at as known_from,
    -- who was enrolled was enrolled
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_recipient_events') }}
where type = 'campaign.recipient.enrolled'
