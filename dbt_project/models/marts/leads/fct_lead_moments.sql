-- what was true at each instant; only `outcome` and `outcome_at` look ahead, and they are what is to be foretold
with events as (
    select * from {{ ref('stg_lead_events') }}
),

leads as (
    select * from {{ ref('fct_leads') }}
    where known_to is null
),

activities as (
    select
        *,
        row_number() over (
            partition by organization_id, aggregate_id
            order by aggregate_version desc
        ) as newest_first
    from events
    where aggregate_type = 'activity'
),

points as (
    select
        organization_id,
        contact_id,
        took_place_at as scored_at,
        kind as what,
        cast(null as bigint) as state_version
    from activities
    where
        newest_first = 1
        and type <> 'activity.deleted'
    union all
    select
        organization_id,
        contact_id,
        occurred_at as scored_at,
        type as what,
        cast(null as bigint) as state_version
    from events
    where type in ('message.received', 'message.sent')
    union all
    select
        organization_id,
        contact_id,
        occurred_at as scored_at,
        type as what,
        aggregate_version as state_version
    from events
    where type in ('contact.created', 'contact.updated', 'contact.restored')
),

counted as (
    select distinct
        organization_id,
        contact_id,
        scored_at,
        cast(count(case when what = 'message.received' then 1 end) over until_then as integer) as messages_in,
        cast(count(case when what = 'message.sent' then 1 end) over until_then as integer) as messages_out,
        cast(count(case when what = 'call' then 1 end) over until_then as integer) as calls,
        cast(count(case when what = 'meeting' then 1 end) over until_then as integer) as meetings,
        cast(count(case when what = 'note' then 1 end) over until_then as integer) as notes,
        cast(count(case when what = 'contact.updated' then 1 end) over until_then as integer) as changes,
        max(state_version) over until_then as state_version
    from points
    window until_then as (partition by organization_id, contact_id order by scored_at)
),

instants as (
    select
        *,
        lag(scored_at) over in_order as previous_at,
        lead(scored_at) over in_order as next_at
    from counted
    window in_order as (partition by organization_id, contact_id order by scored_at)
)

select
    -- ids
    instants.organization_id,
    instants.contact_id,
    states.source_id,

    -- facts of the instant
    instants.scored_at,
    states.company_id is not null as has_company,
    instants.messages_in,
    instants.messages_out,
    instants.calls,
    instants.meetings,
    instants.notes,
    instants.changes,
    {{ whole_days('leads.created_at', 'instants.scored_at') }} as days_since_created,
    {{ whole_days('instants.previous_at', 'instants.scored_at') }} as days_since_touched,
    instants.next_at is null and leads.converted_at is null as is_present,

    -- what came of it
    case when leads.converted_at is not null then 'converted' end as outcome,
    leads.converted_at as outcome_at
from instants
inner join leads
    on
        instants.organization_id = leads.organization_id
        and instants.contact_id = leads.contact_id
        and instants.scored_at >= leads.created_at
        and (leads.converted_at is null or leads.converted_at > instants.scored_at)
inner join events as states
    on
        instants.organization_id = states.organization_id
        and instants.contact_id = states.aggregate_id
        and instants.state_version = states.aggregate_version
        and states.aggregate_type = 'contact'
