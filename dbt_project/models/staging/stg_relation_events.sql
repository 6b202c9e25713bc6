with events as (
    select * from {{ ref('stg_events') }}
    where
        aggregate_type in ('contact', 'company')
        and type not in ('contact.custom.changed', 'company.custom.changed', 'contact.erased')
)

select
    -- ids
    {{ event_columns('record_id') }},
    cast({{ json_text('data', 'owner_id') }} as uuid) as owner_id,
    cast({{ json_text('data', 'source_id') }} as uuid) as source_id,
    cast({{ json_text('data', 'survivor_id') }} as uuid) as survivor_id,

    -- facts
    aggregate_type as record_kind
from events
