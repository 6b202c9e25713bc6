{#-
  Two clocks from one log. A key's facts are read once per *knowledge point* (each distinct recorded_at of its facts): what
  is known at a point are the facts recorded until then, in the order in which they were true. Rows that stay equal from
  one point to the next are one row, known from the first of these points until the point at which they changed.

  The facts of a key are compared with each of its knowledge points, so cost grows with their product: some dozens of
  facts a key is the design; an import is a single point whatever its size.
-#}

{#-
  CTEs `known_points` and `known_facts`, after a CTE `facts` with the key columns, recorded_at, occurred_at,
  is_first (the key exists from its recording on) and is_last (the key is forgotten from its recording on).
-#}
{% macro facts_as_known(keys, columns, order_by=['occurred_at', 'aggregate_version']) -%}
    known_keys as (
        select
            {{ keys | join(', ') }},
            min(case when is_first then recorded_at end) as first_known_at,
            min(case when is_last then recorded_at end) as forgotten_at
        from facts
        group by {{ keys | join(', ') }}
    ),

    known_instants as (
        select distinct
            {{ _columns('facts', keys) }},
            known_keys.forgotten_at,
            facts.recorded_at as known_at
        from facts
        inner join known_keys on {{ _same('facts', 'known_keys', keys) }}
        where
            facts.recorded_at >= known_keys.first_known_at
            and (known_keys.forgotten_at is null or facts.recorded_at < known_keys.forgotten_at)
    ),

    known_points as (
        select
            {{ keys | join(', ') }},
            known_at,
            coalesce(
                lead(known_at) over (partition by {{ keys | join(', ') }} order by known_at), forgotten_at
            ) as next_known_at,
            row_number() over (partition by {{ keys | join(', ') }} order by known_at) as point_number
        from known_instants
    ),

    known_facts as (
        select
            {{ _columns('known_points', keys) }},
            known_points.known_at,
            {{ _columns('facts', columns) }},
            facts.occurred_at,
            row_number() over (
                partition by {{ _columns('known_points', keys) }}, known_points.known_at
                order by {{ _columns('facts', order_by) }}
            ) as fact_number
        from known_points
        inner join facts
            on {{ _same('known_points', 'facts', keys) }} and facts.recorded_at <= known_points.known_at
        where not facts.is_last
    )
{%- endmacro %}

{#- The closing select: rows of CTE `rows_as_known` (keys, known_at, columns), with their known intervals. -#}
{% macro known_intervals(keys, columns) -%}
    select
        {{ (keys + columns) | join(', ') }},
        min(known_at) as known_from,
        case when count(*) = count(next_known_at) then max(next_known_at) end as known_to
    from (
        select
            {{ _columns('rows_as_known', keys + columns) }},
            known_points.known_at,
            known_points.next_known_at,
            known_points.point_number - row_number() over (
                partition by {{ _columns('rows_as_known', keys + columns) }}
                order by known_points.point_number
            ) as island
        from rows_as_known
        inner join known_points
            on
                {{ _same('rows_as_known', 'known_points', keys) }}
                and rows_as_known.known_at = known_points.known_at
    ) as stretches
    group by {{ (keys + columns) | join(', ') }}, island
{%- endmacro %}

{#- Join condition: the row of `alias` that was known at the knowledge point in CTE `known_points`. -#}
{% macro known_of(alias, keys) -%}
    {{ _same('known_points', alias, keys) }}
            and {{ alias }}.known_from <= known_points.known_at
            and ({{ alias }}.known_to is null or {{ alias }}.known_to > known_points.known_at)
{%- endmacro %}

{#-
  A state that facts change piece by piece, as intervals on both clocks: columns keys, states, valid_from, valid_to,
  known_from, known_to (and `number`, counting the states of a key as known together).

  `groups` maps a flag column of CTE `facts` to the columns which a fact with that flag sets, all at once; the first group
  is the key's base: facts that lie before its first setting say nothing. Of facts at one instant the last counts; equal
  states in a row are one.
-#}
{% macro bitemporal_states(keys, groups, order_by=['occurred_at', 'aggregate_version'], number=none) -%}
    {%- set flags = groups.keys() | list -%}
    {%- set states = groups.values() | sum(start=[]) -%}
    {%- set point = (keys + ['known_at']) | join(', ') -%}
    {{ facts_as_known(keys, flags + states, order_by) }},

    settings as (
        select
            *,
            {% for flag in flags -%}
                sum(case when {{ flag }} then 1 else 0 end)
                    over (partition by {{ point }} order by fact_number rows unbounded preceding)
                    as {{ flag }}_count{{ "," if not loop.last }}
            {% endfor %}
        from known_facts
    ),

    folded as (
        select
            {{ point }},
            fact_number,
            occurred_at as valid_from,
            lead(occurred_at) over (partition by {{ point }} order by fact_number) as next_occurred_at,
            {% for flag, columns in groups.items() %}{% set last = loop.last %}{% for column in columns -%}
                first_value({{ column }}) over (partition by {{ point }}, {{ flag }}_count order by fact_number)
                    as {{ column }}{{ "," if not (last and loop.last) }}
            {% endfor %}{% endfor %}
        from settings
        where {{ flags[0] }}_count > 0
    ),

    compared as (
        select
            {{ point }},
            valid_from,
            {{ states | join(', ') }},
            (
                row_number() over (partition by {{ point }} order by fact_number) = 1
                {% for column in states -%}
                    or {{ column }} is distinct from
                    lag({{ column }}) over (partition by {{ point }} order by fact_number)
                {% endfor %}
            ) as is_change
        from folded
        where next_occurred_at is null or next_occurred_at > valid_from
    ),

    rows_as_known as (
        select
            {{ point }},
            {{ states | join(', ') }},
            valid_from,
            lead(valid_from) over (partition by {{ point }} order by valid_from) as valid_to
            {%- if number %},
            cast(row_number() over (partition by {{ point }} order by valid_from) as integer) as {{ number }}
            {%- endif %}
        from compared
        where is_change
    )

    {{ known_intervals(keys, states + ['valid_from', 'valid_to'] + ([number] if number else [])) }}
{%- endmacro %}

{% macro _columns(alias, columns) -%}
    {% for column in columns %}{{ alias }}.{{ column }}{{ ", " if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro _same(left, right, keys) -%}
    {% for key in keys %}{{ left }}.{{ key }} = {{ right }}.{{ key }}{{ " and " if not loop.last }}{% endfor %}
{%- endmacro %}
