with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'message'
)

select
    -- ids
    {{ event_columns('message_id') }},
    cast({{ json_text('data', 'conversation_id') }} as uuid) as conversation_id,
    cast({{ json_text('data', 'account_id') }} as uuid) as account_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'assignee_id') }} as uuid) as assignee_id,
    cast({{ json_text('data', 'author_id') }} as uuid) as author_id,

    -- facts
    {{ json_text('data', 'channel') }} as channel,
    {{ json_text('data', 'kind') }} as kind,
    {{ json_text('data', 'source') }} as source,
    cast({{ json_text('data', 'length') }} as bigint) as text_length,
    {{ json_text('data', 'is_unknown') }} = 'true' as is_unknown
from events
