with events as (
    select * from {{ ref('stg_events') }}
    where
        aggregate_type in ('contact', 'activity', 'message')
        or type in ('deal.created', 'deal.updated')
)

select
    -- ids
    {{ event_columns('aggregate_id') }},
    case
        when aggregate_type = 'contact' then aggregate_id
        else cast({{ json_text('data', 'contact_id') }} as uuid)
    end as contact_id,
    cast({{ json_text('data', 'company_id') }} as uuid) as company_id,
    cast({{ json_text('data', 'owner_id') }} as uuid) as owner_id,
    cast({{ json_text('data', 'source_id') }} as uuid) as source_id,

    -- facts
    aggregate_type,
    {{ json_text('data', 'kind') }} as kind,

    -- timestamps
    cast({{ json_text('data', 'took_place_at') }} as timestamp with time zone) as took_place_at
from events
