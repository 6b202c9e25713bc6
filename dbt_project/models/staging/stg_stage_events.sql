with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'stage'
)

select
    -- ids
    {{ event_columns('stage_id') }},
    cast({{ json_text('data', 'pipeline_id') }} as uuid) as pipeline_id,

    -- facts
    {{ json_text('data', 'name') }} as name,
    {{ json_text('data', 'kind') }} as kind,
    cast({{ json_text('data', 'position') }} as integer) as position,
    cast({{ json_text('data', 'target_days') }} as integer) as target_days
from events
