with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'account_day'
)

select
    -- ids
    {{ event_columns('account_day_id') }},
    cast({{ json_text('data', 'account_id') }} as uuid) as account_id,

    -- facts
    {{ json_text('data', 'channel') }} as channel,
    cast({{ json_text('data', 'began_at') }} as timestamp with time zone) as began_at,
    cast({{ json_text('data', 'provider') }} as bigint) as provider,
    cast({{ json_text('data', 'stored') }} as bigint) as stored,
    cast({{ json_text('data', 'missing') }} as bigint) as missing,
    cast({{ json_text('data', 'filtered') }} as bigint) as filtered,
    cast({{ json_text('data', 'failed') }} as bigint) as failed,
    cast({{ json_text('data', 'healed') }} as bigint) as healed
from events
