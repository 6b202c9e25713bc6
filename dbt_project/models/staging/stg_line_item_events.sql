with events as (
    select * from {{ ref('stg_events') }}
    where type = 'deal.line_items.changed'
)

select
    -- ids
    {{ event_columns('deal_id') }},

    -- facts
    {{ json_text('data', 'currency') }} as currency,
    data
from events
