with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'conversation'
)

select
    -- ids
    {{ event_columns('conversation_id') }},
    cast({{ json_text('data', 'account_id') }} as uuid) as account_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'assignee_id') }} as uuid) as assignee_id,
    cast({{ json_text('data', 'team_id') }} as uuid) as team_id,

    -- facts
    {{ json_text('data', 'channel') }} as channel
from events
