with events as (
    select * from {{ ref('stg_setup_events') }}
    where aggregate_type = 'organization' and type in ('organization.created', 'organization.updated')
)

select
    -- ids
    {{ event_columns('organization_aggregate_id') }},

    -- facts
    {{ json_text('data', 'time_zone') }} as time_zone,
    {{ json_text('data', 'currency') }} as currency,
    cast({{ json_text('data', 'week_start') }} as integer) as week_start,
    cast({{ json_text('data', 'fiscal_year_start_month') }} as integer) as fiscal_year_start_month
from events
