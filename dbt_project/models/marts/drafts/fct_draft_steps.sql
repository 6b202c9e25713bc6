-- A draft's way: approved, sent (the provider took it), answered, and its deal moved on; or rejected.
with drafts as (
    select * from {{ ref('stg_draft_events') }}
),

generated as (
    select * from drafts
    where type = 'ai.draft.generated'
),

sends as (
    select
        organization_id,
        cast({{ json_text('data', 'source_id') }} as uuid) as draft_id,
        min(occurred_at) as occurred_at,
        min(recorded_at) as recorded_at
    from {{ ref('stg_events') }}
    where type = 'message.sent' and {{ json_text('data', 'source') }} = 'draft'
    group by organization_id, cast({{ json_text('data', 'source_id') }} as uuid)
),

answers as (
    select
        organization_id,
        cast({{ json_text('data', 'conversation_id') }} as uuid) as conversation_id,
        occurred_at,
        recorded_at
    from {{ ref('stg_events') }}
    where type = 'message.received' and {{ json_text('data', 'kind') }} = 'message'
),

moves as (
    select
        organization_id,
        aggregate_id as deal_id,
        occurred_at,
        recorded_at
    from {{ ref('stg_events') }}
    where type = 'deal.stage.changed'
),

steps as (
    select
        organization_id,
        draft_id,
        'generated' as step,
        1 as place,
        occurred_at,
        recorded_at
    from generated

    union all

    select
        organization_id,
        draft_id,
        'approved' as step,
        2 as place,
        occurred_at,
        recorded_at
    from drafts
    where type = 'ai.draft.approved'

    union all

    select
        generated.organization_id,
        generated.draft_id,
        'sent' as step,
        3 as place,
        sends.occurred_at,
        sends.recorded_at
    from generated
    inner join sends
        on generated.organization_id = sends.organization_id and generated.draft_id = sends.draft_id

    union all

    select
        generated.organization_id,
        generated.draft_id,
        'replied' as step,
        4 as place,
        answers.occurred_at,
        answers.recorded_at
    from generated
    inner join sends
        on generated.organization_id = sends.organization_id and generated.draft_id = sends.draft_id
    inner join answers
        on
            generated.organization_id = answers.organization_id
            and generated.conversation_id = answers.conversation_id
            and answers.occurred_at > sends.occurred_at

    union all

    select
        generated.organization_id,
        generated.draft_id,
        'moved' as step,
        5 as place,
        moves.occurred_at,
        moves.recorded_at
    from generated
    inner join sends
        on generated.organization_id = sends.organization_id and generated.draft_id = sends.draft_id
    inner join moves
        on
            generated.organization_id = moves.organization_id
            and generated.deal_id = moves.deal_id
            and moves.occurred_at > sends.occurred_at

    union all

    select
        organization_id,
        draft_id,
        'rejected' as step,
        6 as place,
        occurred_at,
        recorded_at
    from drafts
    where type = 'ai.draft.rejected'
),

facts as (
    select
        organization_id,
        draft_id,
        step,
        place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from steps
),

known as (
    {{ known_steps('facts', 'draft_id') }}
)

select
    organization_id,
    draft_id,
    step_number,
    step,
    next_step,
    entered_at,
    left_at,
    known_from,
    known_to
from known
