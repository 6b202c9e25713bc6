with events as (
    select * from {{ ref('stg_events') }}
    where type in ('goal.set', 'goal.deleted')
)

select
    -- ids
    {{ event_columns('goal_id') }},
    cast({{ json_text('data', 'user_id') }} as uuid) as user_id,
    cast({{ json_text('data', 'team_id') }} as uuid) as team_id,

    -- facts
    {{ json_text('data', 'measure') }} as measure,
    cast({{ json_text('data', 'starts_on') }} as date) as starts_on,
    cast({{ json_text('data', 'ends_on') }} as date) as ends_on,
    cast({{ json_text('data', 'target') }} as bigint) as target,
    {{ json_text('data', 'currency') }} as currency
from events
