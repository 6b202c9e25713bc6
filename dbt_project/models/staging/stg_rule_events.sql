with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'rule'
)

select
    -- ids
    {{ event_columns('rule_id') }},
    cast({{ json_text('data', 'owner_id') }} as uuid) as owner_id,

    -- facts
    {{ json_text('data', 'mode') }} as mode
from events
