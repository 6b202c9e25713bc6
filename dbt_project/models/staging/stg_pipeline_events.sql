with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'pipeline' and type in ('pipeline.created', 'pipeline.updated')
)

select
    -- ids
    {{ event_columns('pipeline_id') }},

    -- facts
    {{ json_text('data', 'name') }} as name,
    cast({{ json_text('data', 'is_active') }} as boolean) as is_active
from events
