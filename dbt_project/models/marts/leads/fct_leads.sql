with events as (
    select * from {{ ref('stg_lead_events') }}
),

states as (
    select * from events
    where
        aggregate_type = 'contact'
        and type <> 'contact.custom.changed'
),

-- what was learned of a contact: how it is, whether it is there, that a deal names it
points as (
    select
        organization_id,
        contact_id,
        recorded_at,
        case when type not in ('contact.merged', 'contact.unmerged', 'contact.erased') then aggregate_version end
            as state_version,
        case when type <> 'contact.updated' then aggregate_version end as turn_version,
        occurred_at as created_at,
        cast(null as timestamp with time zone) as converted_at
    from states
    union all
    select
        organization_id,
        contact_id,
        recorded_at,
        cast(null as bigint) as state_version,
        cast(null as bigint) as turn_version,
        cast(null as timestamp with time zone) as created_at,
        occurred_at as converted_at
    from events
    where
        aggregate_type = 'deal'
        and contact_id is not null
),

known as (
    select distinct
        organization_id,
        contact_id,
        recorded_at,
        max(state_version) over learned as state_version,
        max(turn_version) over learned as turn_version,
        min(created_at) over learned as created_at,
        min(converted_at) over learned as converted_at
    from points
    window learned as (partition by organization_id, contact_id order by recorded_at)
),

intervals as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, contact_id
            order by recorded_at
        ) as known_to
    from known
)

select
    -- ids
    intervals.organization_id,
    intervals.contact_id,
    states.owner_id,
    states.source_id,
    states.company_id,

    -- facts
    case when intervals.converted_at is null then 'lead' else 'converted' end as state,

    -- timestamps
    intervals.created_at,
    intervals.converted_at,
    intervals.recorded_at as known_from,
    intervals.known_to
from intervals
inner join states
    on
        intervals.organization_id = states.organization_id
        and intervals.contact_id = states.contact_id
        and intervals.state_version = states.aggregate_version
inner join states as turns
    on
        intervals.organization_id = turns.organization_id
        and intervals.contact_id = turns.contact_id
        and intervals.turn_version = turns.aggregate_version
where turns.type not in ('contact.deleted', 'contact.merged', 'contact.erased')
