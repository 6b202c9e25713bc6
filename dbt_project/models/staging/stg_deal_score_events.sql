-- scores of deals, for what deals are expected to bring; contacts are scored by the same events
with events as (
    select * from {{ ref('stg_events') }}
    where type = 'lead.scored'
)

select
    -- ids
    {{ event_columns('score_id') }},
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,

    -- facts
    cast({{ json_text('data', 'score') }} as numeric(38, 6)) as score,
    cast({{ json_text('data', 'scored_at') }} as timestamp with time zone) as scored_at
from events
where {{ json_text('data', 'deal_id') }} is not null
