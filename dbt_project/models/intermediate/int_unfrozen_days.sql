with through as (
    select max(through) as instant from {{ ref('warehouse_freshness') }}
),

-- an event recorded before a day's end that came late changes what was known at that end
touched as (
    select
        organization_id,
        min(first_recorded_at) as first_recorded_at,
        max(case when aggregate_type = 'organization' then 1 else 0 end) = 1 as is_configured
    from {{ ref('int_touched_aggregates') }}
    group by organization_id
)

select
    dates.organization_id,
    dates.day,
    dates.ends_at
from {{ ref('dim_dates') }} as dates
cross join through
left join touched on dates.organization_id = touched.organization_id
where
    dates.ends_at <= through.instant
    and (
        {{ confirmed_through() }} is null
        or dates.ends_at > {{ confirmed_through() }}
        or dates.ends_at >= touched.first_recorded_at
        or touched.is_configured
    )
