with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'invoice'
)

select
    -- ids
    {{ event_columns('invoice_id') }},
    cast({{ json_text('data', 'subscription_id') }} as uuid) as subscription_id,

    -- facts
    {{ json_text('data', 'status') }} as status,
    cast({{ json_text('data', 'seats') }} as bigint) as seats,
    cast({{ json_text('data', 'total_minor') }} as bigint) as total_minor,
    {{ json_text('data', 'currency') }} as currency,
    cast({{ json_text('data', 'payment_attempts') }} as bigint) as payment_attempts,
    cast({{ json_text('data', 'seats_minor') }} as bigint) as seats_minor,
    cast({{ json_text('data', 'usage_minor') }} as bigint) as usage_minor,
    cast({{ json_text('data', 'ai_drafts') }} as bigint) as ai_drafts,
    cast({{ json_text('data', 'account_days') }} as bigint) as account_days,
    cast({{ json_text('data', 'usage_from') }} as timestamp with time zone) as usage_from,
    cast({{ json_text('data', 'usage_to') }} as timestamp with time zone) as usage_to
from events
