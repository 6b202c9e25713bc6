with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, message_id
            order by aggregate_version
        ) as changed_at,
        max(case when type in ('message.received', 'message.queued', 'message.sent') then aggregate_version end) over (
            partition by organization_id, message_id
            order by aggregate_version
        ) as facts_version,
        max(case when type not in ('message.read', 'message.updated') then aggregate_version end) over (
            partition by organization_id, message_id
            order by aggregate_version
        ) as status_version,
        min(case when type = 'message.read' then occurred_at end) over (
            partition by organization_id, message_id
            order by aggregate_version
        ) as read_at
    from {{ ref('stg_message_events') }}
)

select
    -- ids
    states.organization_id,
    states.message_id,
    states.aggregate_version as version_number,
    facts.conversation_id,
    facts.account_id,
    facts.contact_id,
    facts.deal_id,
    facts.assignee_id,
    facts.author_id,

    -- facts
    facts.channel,
    case when facts.type = 'message.received' then 'in' else 'out' end as direction,
    coalesce(facts.kind, 'message') as kind,
    facts.source,
    case
        when status.type = 'message.failed' and status.is_unknown then 'unknown'
        else replace(status.type, 'message.', '')
    end as status,
    facts.text_length,

    -- timestamps
    facts.occurred_at as happened_at,
    states.read_at,
    states.recorded_at as known_from,
    states.changed_at as known_to
from states
inner join {{ ref('stg_message_events') }} as facts
    on
        states.organization_id = facts.organization_id
        and states.message_id = facts.message_id
        and states.facts_version = facts.aggregate_version
inner join {{ ref('stg_message_events') }} as status
    on
        states.organization_id = status.organization_id
        and states.message_id = status.message_id
        and states.status_version = status.aggregate_version
where states.changed_at is null or states.changed_at > states.recorded_at
