with events as (
    select * from {{ ref('stg_events') }}
    where
        type in (
            'contact.custom.changed', 'company.custom.changed', 'deal.custom.changed', 'deal.deleted',
            'computed_values.changed'
        )
)

select
    -- ids
    {{ event_columns('aggregate_id') }},

    -- facts: what is computed of a record is an aggregate of its own, and names the record
    coalesce(cast({{ json_text('data', 'record_id') }} as uuid), aggregate_id) as record_id,
    coalesce({{ json_text('data', 'record_kind') }}, aggregate_type) as record_kind,
    data
from events
