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
        {{ local_day('spans.first_at', 'organizations.time_zone') }} as first_day,
        cast(
            date_trunc('year', {{ local_day('spans.through', 'organizations.time_zone') }})
            + interval '2 years' - interval '1 day' as date
        ) as last_day
    from organizations
    inner join {{ ref('int_event_spans') }} as spans on organizations.organization_id = spans.organization_id
),

calendar as (
    select
        local_spans.*,
        days.day,
        {{ iso_weekday('days.day') }} as weekday,
        cast(extract(year from days.day) as integer) as calendar_year,
        cast(extract(month from days.day) as integer) as calendar_month
    from local_spans
    cross join {{ each_day('local_spans.first_day', 'local_spans.last_day') }}
)

select
    organization_id,
    day,
    {{ day_start('day', 'time_zone') }} as starts_at,
    {{ day_start(add_days('day', 1), 'time_zone') }} as ends_at,
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
