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
    select
        organization_id,
        touch_id,
        min(occurred_at) as occurred_at,
        min(recorded_at) as recorded_at
    from events
    where type = 'campaign.step.sent'
    group by organization_id, touch_id
),

failures as (
    select
        organization_id,
        touch_id,
        case when reason = 'bounced' then 'bounced' else 'failed' end as step,
        min(occurred_at) as occurred_at,
        min(recorded_at) as recorded_at
    from events
    where type = 'campaign.step.failed' and is_unknown = 'false'
    group by organization_id, touch_id, case when reason = 'bounced' then 'bounced' else 'failed' end
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

    select
        organization_id,
        touch_id,
        'sent' as step,
        2 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from sends

    union all

    select
        sends.organization_id,
        sends.touch_id,
        'delivered' as step,
        3 as place,
        sends.occurred_at as entered_at,
        sends.recorded_at as learned_at,
        failures.recorded_at as unlearned_at
    from sends
    inner join touches
        on sends.organization_id = touches.organization_id and sends.touch_id = touches.touch_id
    left join failures
        on
            sends.organization_id = failures.organization_id
            and sends.touch_id = failures.touch_id
            and failures.step = 'bounced'
    where touches.channel is not null

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

    -- what failed and was sent after all did not fail
    select
        failures.organization_id,
        failures.touch_id,
        failures.step,
        6 as place,
        failures.occurred_at as entered_at,
        failures.recorded_at as learned_at,
        case when failures.step = 'failed' and sends.recorded_at > failures.recorded_at then sends.recorded_at end
            as unlearned_at
    from failures
    left join sends
        on failures.organization_id = sends.organization_id and failures.touch_id = sends.touch_id

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
