with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'user' and type in ('user.created', 'user.updated')
)

select
    -- ids
    {{ event_columns('user_id') }},

    -- facts
    {{ json_text('data', 'role') }} as role,
    {{ json_text('data', 'record_scope') }} as record_scope,
    cast({{ json_text('data', 'is_active') }} as boolean) as is_active
from events
