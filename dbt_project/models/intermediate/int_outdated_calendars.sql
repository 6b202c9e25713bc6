-- a calendar reaches from an organization's first day to the end of the year after its last event
with calendars as (
    select
        organization_id,
        min(day) as first_day,
        max(day) as last_day
    from {{ earlier_build_of('dim_dates') }}
    group by organization_id
),

spans as (
    select
        spans.organization_id,
        {{ local_day('spans.first_at', 'organizations.time_zone') }} as first_day,
        {{ local_day('spans.through', 'organizations.time_zone') }} as through_day
    from {{ ref('int_event_spans') }} as spans
    inner join {{ ref('dim_organizations') }} as organizations
        on
            spans.organization_id = organizations.organization_id
            and organizations.known_to is null
            and organizations.valid_to is null
    where spans.organization_id in (select organization_id from {{ ref('int_touched_aggregates') }})
)

select spans.organization_id
from spans
left join calendars on spans.organization_id = calendars.organization_id
where
    calendars.organization_id is null
    or spans.first_day < calendars.first_day
    or extract(year from spans.through_day) + 1 > extract(year from calendars.last_day)
union
select organization_id
from {{ ref('int_configured_organizations') }}
where aggregate_type = 'organization'
