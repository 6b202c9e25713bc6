with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'file'
)

select
    -- ids
    {{ event_columns('file_id') }},
    cast({{ json_text('data', 'uploaded_by') }} as uuid) as uploaded_by,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'company_id') }} as uuid) as company_id,
    cast({{ json_text('data', 'activity_id') }} as uuid) as activity_id,
    cast({{ json_text('data', 'message_id') }} as uuid) as message_id,

    -- facts
    cast({{ json_text('data', 'size_bytes') }} as bigint) as size_bytes
from events
