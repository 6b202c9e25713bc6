with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'activity'
)

select
    -- ids
    {{ event_columns('activity_id') }},
    cast({{ json_text('data', 'author_id') }} as uuid) as author_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'company_id') }} as uuid) as company_id,

    -- facts
    {{ json_text('data', 'kind') }} as kind,
    {{ json_text('data', 'direction') }} as direction,
    cast({{ json_text('data', 'duration_seconds') }} as integer) as duration_seconds,
    cast({{ json_text('data', 'took_place_at') }} as timestamp with time zone) as took_place_at
from events
