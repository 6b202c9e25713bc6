with events as (
    select * from {{ ref('stg_events') }}
    where type = 'exchange_rates.set'
)

select
    -- ids
    {{ event_columns('rates_id') }},

    -- facts
    cast({{ json_text('data', 'day') }} as date) as day,
    {{ json_text('data', 'base') }} as base,
    data
from events
