with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'usage_report'
)

select
    -- ids
    {{ event_columns('usage_report_id') }},
    cast({{ json_text('data', 'subscription_id') }} as uuid) as subscription_id,

    -- facts
    {{ json_text('data', 'meter') }} as meter,
    cast({{ json_text('data', 'quantity') }} as bigint) as quantity,
    cast({{ json_text('data', 'stamped_at') }} as timestamp with time zone) as stamped_at
from events
