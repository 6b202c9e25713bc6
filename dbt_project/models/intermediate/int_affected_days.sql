with organizations as (
    select
        organization_id,
        time_zone
    from {{ ref('dim_organizations') }}
    where known_to is null and valid_to is null
),

-- wherever a touched deal ever stood, on any knowledge
deal_days as (
    select distinct
        events.organization_id,
        {{ local_day('events.occurred_at', 'organizations.time_zone') }} as day
    from {{ ref('int_touched_deals') }} as touched
    inner join {{ ref('stg_deal_events') }} as events
        on touched.organization_id = events.organization_id and touched.deal_id = events.deal_id
    inner join organizations on events.organization_id = organizations.organization_id
    where events.type in ('deal.created', 'deal.stage.changed', 'deal.closed', 'deal.reopened')
),

-- a new zone, a reordered stage or a changed team may move any figure of the organization
configured as (
    select distinct organization_id
    from {{ ref('int_touched_aggregates') }}
    where aggregate_type in ('organization', 'stage', 'team')
),

all_days as (
    select
        dates.organization_id,
        {{ add_days('dates.day', 'neighbours.distance') }} as day
    from configured
    inner join {{ ref('dim_dates') }} as dates on configured.organization_id = dates.organization_id
    cross join (values (-1), (0), (1)) as neighbours (distance)
)

select
    organization_id,
    day
from deal_days
union
select
    organization_id,
    day
from all_days
