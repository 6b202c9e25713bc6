with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'team' and type in ('team.member.added', 'team.member.removed')
)

select
    -- ids
    {{ event_columns('team_id') }},
    cast({{ json_text('data', 'user_id') }} as uuid) as user_id
from events
