-- what became of deals that rules touched: entries into stages, and who brought them about
with events as (
    select * from {{ ref('stg_events') }}
    where type in ('deal.stage.changed', 'deal.closed', 'deal.reopened')
)

select
    -- ids
    {{ event_columns('deal_id') }},
    cast({{ json_text('data', 'to_stage_id') }} as uuid) as to_stage_id,

    -- facts
    actor,
    {{ json_text('data', 'outcome') }} as outcome
from events
