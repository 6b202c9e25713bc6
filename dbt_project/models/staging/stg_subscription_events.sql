with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'subscription'
)

select
    -- ids
    {{ event_columns('subscription_id') }},

    -- facts
    {{ json_text('data', 'plan') }} as plan,
    {{ json_text('data', 'status') }} as status,
    cast({{ json_text('data', 'seats') }} as bigint) as seats,
    cast({{ json_text('data', 'monthly_minor') }} as bigint) as monthly_minor,
    {{ json_text('data', 'currency') }} as currency
from events
