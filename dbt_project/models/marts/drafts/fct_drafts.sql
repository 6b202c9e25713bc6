select
    -- ids
    organization_id,
    draft_id,
    conversation_id,
    deal_id,
    author_id,

    -- facts
    kind,
    prompt,
    model,
    cost_micro,

    -- timestamps
    occurred_at as generated_at,
    recorded_at as known_from,
    -- what was written is not unwritten
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_draft_events') }}
where type = 'ai.draft.generated'
