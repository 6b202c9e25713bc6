-- How far a recipient came over all steps of their campaign: something was sent, delivered (not known to have come
-- back), opened where the channel tells, answered, a deal of theirs created or moved after the first sending; or how it
-- ended.
with events as (
    select * from {{ ref('stg_recipient_events') }}
),

recipients as (
    select * from events
    where type = 'campaign.recipient.enrolled'
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

first_sends as (
    select
        organization_id,
        recipient_id,
        min(occurred_at) as occurred_at
    from sends
    group by organization_id, recipient_id
),

created as (
    select
        deals.organization_id,
        recipients.recipient_id,
        deals.aggregate_id as deal_id,
        deals.occurred_at,
        deals.recorded_at
    from {{ ref('stg_events') }} as deals
    inner join recipients
        on
            deals.organization_id = recipients.organization_id
            and cast({{ json_text('deals.data', 'contact_id') }} as uuid) = recipients.contact_id
    inner join first_sends
        on
            recipients.organization_id = first_sends.organization_id
            and recipients.recipient_id = first_sends.recipient_id
    where deals.type = 'deal.created' and deals.occurred_at > first_sends.occurred_at
),

deals_of as (
    select
        organization_id,
        recipient_id,
        deal_id
    from recipients
    where deal_id is not null

    union

    select
        organization_id,
        recipient_id,
        deal_id
    from created
),

moves as (
    select
        deals_of.organization_id,
        deals_of.recipient_id,
        changes.occurred_at,
        changes.recorded_at
    from {{ ref('stg_events') }} as changes
    inner join deals_of
        on changes.organization_id = deals_of.organization_id and changes.aggregate_id = deals_of.deal_id
    inner join first_sends
        on
            deals_of.organization_id = first_sends.organization_id
            and deals_of.recipient_id = first_sends.recipient_id
    where changes.type = 'deal.stage.changed' and changes.occurred_at > first_sends.occurred_at
),

facts as (
    select
        organization_id,
        recipient_id,
        'enrolled' as step,
        1 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from recipients

    union all

    {{ delivery_facts('recipient_id', 8) }}

    union all

    select
        sends.organization_id,
        sends.recipient_id,
        'opened' as step,
        4 as place,
        reads.occurred_at as entered_at,
        reads.recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from {{ ref('stg_events') }} as reads
    inner join sends
        on reads.organization_id = sends.organization_id and reads.aggregate_id = sends.message_id
    where reads.type = 'message.read'

    union all

    select
        organization_id,
        recipient_id,
        'replied' as step,
        5 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from events
    where type = 'campaign.replied'

    union all

    select
        organization_id,
        recipient_id,
        'deal_created' as step,
        6 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from created

    union all

    select
        organization_id,
        recipient_id,
        'moved' as step,
        7 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from moves

    union all

    select
        organization_id,
        recipient_id,
        case when type = 'campaign.unsubscribed' then 'unsubscribed' else 'stopped' end as step,
        9 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from events
    where type = 'campaign.unsubscribed' or (type = 'campaign.recipient.finished' and ending = 'stopped')
),

known as (
    {{ known_steps('facts', 'recipient_id') }}
)

select
    organization_id,
    recipient_id,
    step_number,
    step,
    next_step,
    entered_at,
    left_at,
    known_from,
    known_to
from known
