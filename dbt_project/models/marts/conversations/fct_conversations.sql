-- what is known of a conversation grows with its own events and with those of its messages
with told as (
    select
        organization_id,
        conversation_id,
        event_id,
        recorded_at,
        aggregate_version as conversation_version,
        type,
        cast(null as timestamp with time zone) as received_at,
        cast(null as timestamp with time zone) as sent_at
    from {{ ref('stg_conversation_events') }}
    union all
    select
        organization_id,
        conversation_id,
        event_id,
        recorded_at,
        cast(null as bigint) as conversation_version,
        type,
        case when type = 'message.received' then occurred_at end as received_at,
        case when type = 'message.sent' then occurred_at end as sent_at
    from {{ ref('stg_message_events') }}
    where type = 'message.sent' or (type = 'message.received' and kind = 'message')
),

points as (
    select
        organization_id,
        conversation_id,
        event_id,
        recorded_at,
        lead(recorded_at) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as changed_at,
        row_number() over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as version_number,
        min(received_at) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as received_at,
        min(sent_at) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as sent_at,
        max(case when type in ('conversation.opened', 'conversation.closed') then conversation_version end) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as status_version,
        max(case when type in ('conversation.opened', 'conversation.assigned') then conversation_version end) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as assignment_version,
        max(case when type in ('conversation.opened', 'conversation.linked') then conversation_version end) over (
            partition by organization_id, conversation_id
            order by recorded_at, event_id
        ) as link_version
    from told
)

select
    -- ids
    points.organization_id,
    points.conversation_id,
    points.version_number,
    opened.account_id,
    link.contact_id,
    link.deal_id,
    assignment.assignee_id,

    -- facts
    opened.channel,
    case when points.received_at <= coalesce(points.sent_at, points.received_at) then 'them' else 'us' end as begun_by,
    case when points.received_at is null or points.sent_at is null then 'waiting' else 'answered' end as answer,
    case when status.type = 'conversation.closed' then 'closed' else 'open' end as status,

    -- timestamps
    least(
        coalesce(points.received_at, points.sent_at, opened.occurred_at),
        coalesce(points.sent_at, points.received_at, opened.occurred_at)
    ) as started_at,
    case
        when points.received_at is not null and points.sent_at is not null
            then greatest(points.received_at, points.sent_at)
    end as answered_at,
    case when status.type = 'conversation.closed' then status.occurred_at end as closed_at,
    points.recorded_at as known_from,
    points.changed_at as known_to
from points
inner join {{ ref('stg_conversation_events') }} as opened
    on
        points.organization_id = opened.organization_id
        and points.conversation_id = opened.conversation_id
        and opened.aggregate_version = 1
inner join {{ ref('stg_conversation_events') }} as status
    on
        points.organization_id = status.organization_id
        and points.conversation_id = status.conversation_id
        and points.status_version = status.aggregate_version
inner join {{ ref('stg_conversation_events') }} as assignment
    on
        points.organization_id = assignment.organization_id
        and points.conversation_id = assignment.conversation_id
        and points.assignment_version = assignment.aggregate_version
inner join {{ ref('stg_conversation_events') }} as link
    on
        points.organization_id = link.organization_id
        and points.conversation_id = link.conversation_id
        and points.link_version = link.aggregate_version
where points.changed_at is null or points.changed_at > points.recorded_at
