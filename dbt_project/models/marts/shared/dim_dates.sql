{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_outdated_calendars', 'row_key': ['organization_id', 'day']},
        indexes=[{'columns': ['organization_id', 'day'], 'unique': true}],
    )
}}

{% set outdated = ref('int_outdated_calendars') %}

with organizations as (
    select
        organization_id,
        time_zone,
        week_start,
        fiscal_year_start_month
    from {{ ref('dim_organizations') }}
    where
        known_to is null
        and valid_to is null
        and {{ is_affected(outdated, ['organization_id']) }}
),

local_spans as (
    select
        organizations.*,
        {{ local_day('spans.first_at', 'at_first.utc_offset') }} as first_day,
        cast(
            date_trunc('year', {{ local_day('spans.through', 'at_last.utc_offset') }})
            + interval '2 years' - interval '1 day' as date
        ) as last_day
    from organizations
    inner join {{ ref('int_event_spans') }} as spans on organizations.organization_id = spans.organization_id
    inner join {{ source('staging', 'time_zone_offsets') }} as at_first
        on
            organizations.time_zone = at_first.time_zone
            and spans.first_at >= at_first.starts_at
            and spans.first_at < at_first.ends_at
    inner join {{ source('staging', 'time_zone_offsets') }} as at_last
        on
            organizations.time_zone = at_last.time_zone
            and spans.through >= at_last.starts_at
            and spans.through < at_last.ends_at
),

offsets as (
    select
        local_spans.organization_id,
        offsets.starts_at,
        offsets.ends_at,
        offsets.utc_offset
    from local_spans
    inner join {{ source('staging', 'time_zone_offsets') }} as offsets
        on
            local_spans.time_zone = offsets.time_zone
            and offsets.ends_at > {{ midnight(add_days('local_spans.first_day', -2), "interval '0 days'") }}
            and offsets.starts_at < {{ midnight(add_days('local_spans.last_day', 3), "interval '0 days'") }}
),

-- a day begins at its first midnight, or where clocks skip that, at the turn
beginnings as (
    select
        local_spans.organization_id,
        days.day,
        min(greatest({{ midnight('days.day', 'offsets.utc_offset') }}, offsets.starts_at)) as starts_at
    from local_spans
    cross join {{ each_day('local_spans.first_day', add_days('local_spans.last_day', 1)) }}
    inner join offsets
        on
            local_spans.organization_id = offsets.organization_id
            and {{ midnight('days.day', 'offsets.utc_offset') }} < offsets.ends_at
    group by local_spans.organization_id, days.day
),

days as (
    select
        organization_id,
        day,
        starts_at,
        lead(starts_at) over (partition by organization_id order by day) as ends_at
    from beginnings
),

calendar as (
    select
        local_spans.*,
        days.day,
        days.starts_at,
        days.ends_at,
        {{ iso_weekday('days.day') }} as weekday,
        cast(extract(year from days.day) as integer) as calendar_year,
        cast(extract(month from days.day) as integer) as calendar_month
    from local_spans
    inner join days on local_spans.organization_id = days.organization_id
    where days.ends_at is not null
)

select
    organization_id,
    day,
    starts_at,
    ends_at,
    {{ add_days('day', '-((weekday - week_start + 7) % 7)') }} as week_start_day,
    cast(date_trunc('month', day) as date) as month_start_day,
    cast(date_trunc('quarter', day) as date) as quarter_start_day,
    calendar_year + case
        when fiscal_year_start_month > 1 and calendar_month >= fiscal_year_start_month then 1
        else 0
    end as fiscal_year,
    cast(floor(((calendar_month - fiscal_year_start_month + 12) % 12) / 3) as integer) + 1 as fiscal_quarter,
    weekday >= 6 as is_weekend
from calendar
