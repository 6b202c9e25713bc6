{{
    config(
        materialized='maintained',
        indexes=[{'columns': ['organization_id', 'deal_id']}, {'columns': ['batch_id']}],
    )
}}

with events as (
    select * from {{ ref('stg_events') }}
    where
        aggregate_type = 'deal'
        and batch_id > {{ newest_batch(this) }}
)

select
    -- ids
    {{ event_columns('deal_id') }},
    actor,
    actor_id,
    cast({{ json_text('data', 'pipeline_id') }} as uuid) as pipeline_id,
    cast({{ json_text('data', 'to_stage_id') }} as uuid) as to_stage_id,
    cast({{ json_text('data', 'owner_id') }} as uuid) as owner_id,
    cast({{ json_text('data', 'company_id') }} as uuid) as company_id,
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'source_id') }} as uuid) as source_id,
    cast({{ json_text('data', 'lost_reason_id') }} as uuid) as lost_reason_id,

    -- facts
    {{ json_text('data', 'outcome') }} as outcome,
    cast({{ json_text('data', 'amount_minor') }} as bigint) as amount_minor,
    {{ json_text('data', 'currency') }} as currency,
    cast({{ json_text('data', 'close_date') }} as date) as close_date
from events
