-- How far a touch came: sent, delivered (not known to have come back), answered, its deal moved on; or how it ended.
-- An answer counts for every touch before it, also for one that was held out: what is compared are those drawn.
with events as (
    select * from {{ ref('stg_recipient_events') }}
),

touches as (
    select * from events
    where type = 'campaign.step.assigned'
),

sends as (
    select * from events
    where type = 'campaign.step.sent'
),

failures as (
    select
        *,
        case when reason = 'bounced' then 'bounced' else 'failed' end as step
    from events
    where type = 'campaign.step.failed' and is_unknown = 'false'
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

facts as (
    select
        organization_id,
        touch_id,
        'assigned' as step,
        1 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from touches

    union all

    {{ delivery_facts('touch_id', 6) }}

    union all

    select
        touches.organization_id,
        touches.touch_id,
        'replied' as step,
        4 as place,
        min(answers.occurred_at) as entered_at,
        min(answers.recorded_at) as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from touches
    inner join events as answers
        on
            touches.organization_id = answers.organization_id
            and touches.recipient_id = answers.recipient_id
            and answers.type = 'campaign.replied'
            and touches.occurred_at < answers.occurred_at
    group by touches.organization_id, touches.touch_id

    union all

    select
        touches.organization_id,
        touches.touch_id,
        'moved' as step,
        5 as place,
        min(moves.occurred_at) as entered_at,
        min(moves.recorded_at) as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from touches
    inner join moves
        on
            touches.organization_id = moves.organization_id
            and touches.deal_id = moves.deal_id
            and touches.occurred_at < moves.occurred_at
    group by touches.organization_id, touches.touch_id

    union all

    select
        organization_id,
        touch_id,
        'unsubscribed' as step,
        7 as place,
        min(occurred_at) as entered_at,
        min(recorded_at) as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from events
    where type = 'campaign.unsubscribed' and touch_id is not null
    group by organization_id, touch_id
),

known as (
    {{ known_steps('facts', 'touch_id') }}
)

select
    organization_id,
    touch_id,
    step_number,
    step,
    next_step,
    entered_at,
    left_at,
    known_from,
    known_to
from known
