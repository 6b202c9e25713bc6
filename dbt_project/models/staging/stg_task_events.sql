with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'task'
)

select
    -- ids
    {{ event_columns('task_id') }},
    cast({{ json_text('data', 'assignee_id') }} as uuid) as assignee_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'company_id') }} as uuid) as company_id,

    -- facts
    {{ json_text('data', 'is_recurring') }} = 'true' as is_recurring,
    cast({{ json_text('data', 'due_at') }} as timestamp with time zone) as due_at
from events
