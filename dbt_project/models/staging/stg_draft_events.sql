with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'draft'
)

select
    -- ids
    {{ event_columns('draft_id') }},
    cast({{ json_text('data', 'conversation_id') }} as uuid) as conversation_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'author_id') }} as uuid) as author_id,

    -- facts
    {{ json_text('data', 'kind') }} as kind,
    {{ json_text('data', 'prompt') }} as prompt,
    {{ json_text('data', 'model') }} as model,
    cast({{ json_text('data', 'cost_micro') }} as bigint) as cost_micro
from events
