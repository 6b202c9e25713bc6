{#-
  Days of an organization. The engines' own time zones are of different years, so no model asks them: where a zone's
  clocks stand is in `time_zone_offsets`, where a day begins and ends in `dim_dates`.
-#}

{#- Day that an instant falls on where the clocks are so far from UTC. -#}
{% macro local_day(instant, utc_offset) -%}
    cast(timezone('UTC', {{ instant }}) + {{ utc_offset }} as date)
{%- endmacro %}

{#- Instant at which a day would begin where the clocks are so far from UTC. -#}
{% macro midnight(day, utc_offset) -%}
    timezone('UTC', cast({{ day }} as timestamp)) - {{ utc_offset }}
{%- endmacro %}

{#- Day in UTC that an instant falls on. -#}
{% macro utc_day(instant) -%}
    cast(timezone('UTC', {{ instant }}) as date)
{%- endmacro %}

{#- The organizations' days, once for each day in UTC that they touch: the day in UTC is what `on_local_day` joins by. -#}
{% macro days_by_utc_day() -%}
    select
        dates.organization_id,
        dates.day,
        dates.starts_at,
        dates.ends_at,
        {{ add_days(utc_day('dates.starts_at'), 'following.days') }} as utc_day
    from {{ ref('dim_dates') }} as dates
    cross join (values (0), (1), (2)) as following (days)
    where {{ add_days(utc_day('dates.starts_at'), 'following.days') }} <= {{ utc_day('dates.ends_at') }}
{%- endmacro %}

{#- Join condition: `days` (of `days_by_utc_day`) is the local day on which an instant of `alias` falls. -#}
{% macro on_local_day(alias, instant, days) -%}
    {{ alias }}.organization_id = {{ days }}.organization_id
            and {{ utc_day(instant) }} = {{ days }}.utc_day
            and {{ instant }} >= {{ days }}.starts_at
            and {{ instant }} < {{ days }}.ends_at
{%- endmacro %}

{#- From when to when each organization has days that are over: what happened in them, and what was known of it at their
    ends, changes no more. -#}
{% macro finished_days() -%}
    select
        organization_id,
        max(day) as last_day,
        min(starts_at) as first_start,
        min(ends_at) as first_end,
        max(ends_at) as last_end
    from {{ ref('dim_dates') }}
    where ends_at <= (select max(through) from {{ ref('warehouse_freshness') }})
    group by organization_id
{%- endmacro %}
