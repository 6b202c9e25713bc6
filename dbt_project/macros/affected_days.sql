{#-
  Which rows an update of a daily mart reads: those within a day of an affected one, found by the number of their UTC day
  before any local day is worked out.
-#}

{#- CTE `near_days` of an update: the affected days and their neighbours. -#}
{% macro near_days(affected) -%}
    near_days as (
        select distinct
            affected.organization_id,
            {{ day_number('affected.day') }} + neighbours.distance as day_number
        from {{ affected }} as affected
        cross join (values (-1), (0), (1)) as neighbours (distance)
    )
{%- endmacro %}

{% macro is_near(instant) -%}
    (organization_id, {{ utc_day_number(instant) }}) in (select organization_id, day_number from near_days)
{%- endmacro %}
