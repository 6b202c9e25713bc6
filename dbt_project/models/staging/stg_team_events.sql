with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'team' and type in ('team.created', 'team.updated')
)

select
    -- ids
    {{ event_columns('team_id') }},
    cast({{ json_text('data', 'parent_team_id') }} as uuid) as parent_team_id,
    cast({{ json_text('data', 'manager_id') }} as uuid) as manager_id,

    -- facts
    cast({{ json_text('data', 'is_active') }} as boolean) as is_active
from events
