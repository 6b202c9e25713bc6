with events as (
    select * from {{ ref('stg_events') }}
    where aggregate_type = 'rule_run'
)

select
    -- ids
    {{ event_columns('firing_id') }},
    cast({{ json_text('data', 'rule_id') }} as uuid) as rule_id,
    cast({{ json_text('data', 'deal_id') }} as uuid) as deal_id,
    cast({{ json_text('data', 'from_stage_id') }} as uuid) as from_stage_id,
    cast({{ json_text('data', 'to_stage_id') }} as uuid) as to_stage_id,

    -- facts
    cast({{ json_text('data', 'rule_version') }} as bigint) as rule_version,
    {{ json_text('data', 'mode') }} as mode,
    {{ json_text('data', 'trigger') }} as trigger_kind,
    {{ json_text('data', 'outcome') }} as outcome,
    cast({{ json_text('data', 'score') }} as numeric(38, 6)) as score
from events
