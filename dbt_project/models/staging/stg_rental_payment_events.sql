with events as (
    select * from {{ ref('stg_events') }}
    where type in ('rental.handed_over', 'rental.renewed')
)

select
    -- ids
    {{ event_columns('rental_id') }},
    cast({{ json_text('data', 'account_id') }} as uuid) as account_id,
    cast({{ json_text('data', 'user_id') }} as uuid) as user_id,

    -- facts
    {{ json_text('data', 'channel') }} as channel,
    {{ json_text('data', 'kind') }} as kind,
    cast({{ json_text('data', 'paid_minor') }} as bigint) as paid_minor,
    {{ json_text('data', 'currency') }} as currency
from events
