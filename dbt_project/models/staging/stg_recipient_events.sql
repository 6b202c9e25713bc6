with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'campaign_recipient'
)

select
    -- ids
    {{ event_columns('recipient_id') }},
    cast({{ json_text('data', 'campaign_id') }} as uuid) as campaign_id,
    cast({{ json_text('data', 'touch_id') }} as uuid) as touch_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'message_id') }} as uuid) as message_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'owner_id') }} as uuid) as owner_id,

    -- facts
    {{ json_text('data', 'step') }} as sequence_step,
    {{ json_text('data', 'variant') }} as variant,
    {{ json_text('data', 'channel') }} as channel,
    {{ json_text('data', 'reason') }} as reason,
    {{ json_text('data', 'is_unknown') }} as is_unknown,
    {{ json_text('data', 'ending') }} as ending
from events
