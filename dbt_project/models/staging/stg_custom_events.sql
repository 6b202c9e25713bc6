with events as (
    select * from {{ ref('stg_events') }}
    where type in ('contact.custom.changed', 'company.custom.changed', 'deal.custom.changed', 'deal.deleted')
)

select
    -- ids
    {{ event_columns('record_id') }},

    -- facts
    aggregate_type as record_kind,
    data
from events
