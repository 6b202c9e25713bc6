with events as (
    select * from {{ ref('stg_events') }}
    where type = 'lead.scored'
)

select
    -- ids
    {{ event_columns('score_id') }},
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    -- version 1 spoke of deals alone
    cast({{ json_text('data', 'contact_id') }} as uuid) as contact_id,
    cast({{ json_text('data', 'model_id') }} as uuid) as model_id,

    -- facts
    cast({{ json_text('data', 'model_number') }} as integer) as model_number,
    cast({{ json_text('data', 'score') }} as numeric(38, 6)) as score,
    cast({{ json_text('data', 'previous') }} as numeric(38, 6)) as previous_score,
    cast({{ json_text('data', 'horizon_days') }} as integer) as horizon_days,
    cast({{ json_text('data', 'scored_at') }} as timestamp with time zone) as scored_at
from events
