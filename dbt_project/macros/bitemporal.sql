{#-
  Two clocks from one log. Facts mostly arrive in the order in which they were true: each ends what was there before, and
  all else stays. One that does not, a *late* fact, restates the key. So a key's facts are read once per *knowledge point*:
  when the key became known, and each recorded_at of a late fact. What is known from a point until the next are the facts
  recorded before the next, in the order in which they were true; each of them `since` it was recorded, or since the point.
  A row that ends with a following one was known without its end until that was known. Rows that stay equal from one point
  to the next are one row.

  Cost grows with the product of a key's facts and its knowledge points; an import is a single point whatever its size.
-#}

{#-
  CTEs `known_points` and `known_facts`, after a CTE `facts` with the key columns, recorded_at, occurred_at,
  is_first (the key exists from its recording on) and is_last (the key is forgotten from its recording on); with
  `is_back` also that column: the key is known again from its recording on.
-#}
{% macro facts_as_known(keys, columns, order_by=['occurred_at', 'aggregate_version'], is_back=false) -%}
    known_keys as (
        select
            {{ keys | join(', ') }},
            min(case when is_first then recorded_at end) as first_known_at
        from facts
        group by {{ keys | join(', ') }}
    ),

    -- late is what was recorded after something that was true at the same time or later
    arrivals as (
        select
            {{ keys | join(', ') }},
            recorded_at,
            min(recorded_at) over (partition by {{ keys | join(', ') }} order by occurred_at desc) as earliest_recorded_at
        from facts
    ),

    -- the key becomes known (+1) and is forgotten (-1); what is late restates it
    known_instants as (
        select
            {{ keys | join(', ') }},
            first_known_at,
            first_known_at as known_at,
            1 as turn
        from known_keys
        union
        select
            {{ _columns('known_keys', keys) }},
            known_keys.first_known_at,
            arrivals.recorded_at as known_at,
            0 as turn
        from arrivals
        inner join known_keys on {{ _same('arrivals', 'known_keys', keys) }}
        where
            arrivals.recorded_at > arrivals.earliest_recorded_at
            and arrivals.recorded_at > known_keys.first_known_at
        union
        select
            {{ _columns('known_keys', keys) }},
            known_keys.first_known_at,
            facts.recorded_at as known_at,
            case when facts.is_last then -1 else 1 end as turn
        from facts
        inner join known_keys on {{ _same('facts', 'known_keys', keys) }}
        where facts.is_last{% if is_back %} or facts.is_back{% endif %}
    ),

    known_turns as (
        select
            {{ keys | join(', ') }},
            first_known_at,
            known_at,
            sum(sum(turn)) over (partition by {{ keys | join(', ') }} order by known_at) > 0 as is_known
        from known_instants
        group by {{ keys | join(', ') }}, first_known_at, known_at
    ),

    known_stretches as (
        select
            *,
            lead(known_at) over key_turns as next_known_at,
            lead(is_known) over key_turns as is_known_next
        from known_turns
        window key_turns as (partition by {{ keys | join(', ') }} order by known_at)
    ),

    known_points as (
        select
            {{ keys | join(', ') }},
            known_at,
            next_known_at,
            known_at > first_known_at or coalesce(is_known_next, false) as is_restated
        from known_stretches
        where is_known
    ),

    known_facts as (
        select
            {{ _columns('known_points', keys) }},
            known_points.known_at,
            known_points.next_known_at,
            known_points.is_restated,
            greatest(facts.recorded_at, known_points.known_at) as since,
            {{ _columns('facts', columns) }},
            facts.occurred_at,
            cast(row_number() over (
                partition by {{ _columns('known_points', keys) }}, known_points.known_at
                order by {{ _columns('facts', order_by) }}
            ) as integer) as fact_number
        from known_points
        inner join facts
            on
                {{ _same('known_points', 'facts', keys) }}
                and (known_points.next_known_at is null or facts.recorded_at < known_points.next_known_at)
        where not facts.is_last{% if is_back %} and not facts.is_back{% endif %}
    )
{%- endmacro %}

{#-
  The closing select: rows of CTE `rows_as_known` (keys, columns, `endings`: columns that the following row sets, and of
  known_facts since, next_known_at and is_restated; `ended_since` is the following row's since), with known intervals.
-#}
{% macro known_intervals(keys, columns, endings) -%}
    {%- set names = (keys + columns + endings) | join(', ') -%}
    , stretches as (
        select
            {{ (keys + columns) | join(', ') }},
            {% for ending in endings -%}
                case when stages.is_ended then {{ ending }} end as {{ ending }},
            {% endfor -%}
            case when stages.is_ended then ended_since else since end as known_from,
            case when stages.is_ended then next_known_at else coalesce(ended_since, next_known_at) end as known_to,
            is_restated
        from rows_as_known
        cross join (values (false), (true)) as stages (is_ended)
        where
            (stages.is_ended and ended_since is not null)
            or (not stages.is_ended and (ended_since is null or ended_since > since))
    ),

    restated as (
        select
            *,
            case when lag(known_to) over equal_rows = known_from then 0 else 1 end as is_new
        from stretches
        where is_restated
        window equal_rows as (partition by {{ names }} order by known_from)
    ),

    numbered as (
        select
            *,
            sum(is_new) over (partition by {{ names }} order by known_from) as island
        from restated
    )

    select
        {{ names }},
        known_from,
        known_to
    from stretches
    where not is_restated
    union all
    select
        {{ names }},
        min(known_from) as known_from,
        case when count(*) = count(known_to) then max(known_to) end as known_to
    from numbered
    group by {{ names }}, island
{%- endmacro %}

{#-
  Closes a `with` whose last CTE is `rows_as_known` (a row per key and knowledge point: keys, states, known_at,
  next_known_at): points in a row that know the same are one row. It begins where the one before it is another, or ended
  earlier.
-#}
{% macro known_changes(keys, states) -%}
    {%- set key_points = 'partition by ' ~ keys | join(', ') ~ ' order by known_at' -%}
    , compared as (
        select
            *,
            lag(next_known_at) over key_points as last_known_to,
            last_value(next_known_at)
                over (key_points rows between unbounded preceding and unbounded following)
                as final_known_to,
            (
                row_number() over key_points = 1
                or lag(next_known_at) over key_points != known_at
                {%- for column in states %}
                or {{ column }} is distinct from lag({{ column }}) over key_points
                {%- endfor %}
            ) as is_change
        from rows_as_known
        window key_points as ({{ key_points }})
    )

    select
        {{ (keys + states) | join(', ') }},
        known_at as known_from,
        coalesce(lead(last_known_to) over key_points, final_known_to) as known_to
    from compared
    where is_change
    window key_points as ({{ key_points }})
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
{% macro bitemporal_states(
    keys, groups, order_by=['occurred_at', 'aggregate_version'], number=none, is_back=false
) -%}
    {%- set flags = groups.keys() | list -%}
    {%- set states = groups.values() | sum(start=[]) -%}
    {%- set point = (keys + ['known_at']) | join(', ') -%}
    {{ facts_as_known(keys, flags + states, order_by, is_back) }},

    -- the fact that set each group last; before a group's first setting, the one that set the base
    settings as (
        select
            *,
            min(case when {{ flags[0] }} then fact_number end) over known as base_number,
            {% for flag in flags -%}
                coalesce(
                    max(case when {{ flag }} then fact_number end) over known,
                    min(case when {{ flags[0] }} then fact_number end) over known
                ) as {{ flag }}_number{{ "," if not loop.last }}
            {% endfor %}
        from known_facts
        window known as (partition by {{ point }} order by fact_number rows unbounded preceding)
    ),

    folded as (
        select
            {{ point }},
            next_known_at,
            is_restated,
            since,
            fact_number,
            base_number,
            occurred_at as valid_from,
            lead(occurred_at) over known as next_occurred_at,
            {% for flag, columns in groups.items() %}{% set last = loop.last %}{% for column in columns -%}
                nth_value({{ column }}, {{ flag }}_number) over known as {{ column }}{{ "," if not (last and loop.last) }}
            {% endfor %}{% endfor %}
        from settings
        window known as (
            partition by {{ point }} order by fact_number rows between unbounded preceding and unbounded following
        )
    ),

    compared as (
        select
            {{ point }},
            next_known_at,
            is_restated,
            since,
            valid_from,
            {{ states | join(', ') }},
            (
                row_number() over known = 1
                {% for column in states -%}
                    or {{ column }} is distinct from lag({{ column }}) over known
                {% endfor %}
            ) as is_change
        from folded
        where
            base_number is not null
            and (next_occurred_at is null or next_occurred_at > valid_from)
        window known as (partition by {{ point }} order by fact_number)
    ),

    rows_as_known as (
        select
            {{ keys | join(', ') }},
            next_known_at,
            is_restated,
            since,
            lead(since) over known as ended_since,
            {{ states | join(', ') }},
            valid_from,
            lead(valid_from) over known as valid_to
            {%- if number %},
            cast(row_number() over known as integer) as {{ number }}
            {%- endif %}
        from compared
        where is_change
        window known as (partition by {{ point }} order by valid_from)
    )

    {{- known_intervals(keys, states + ['valid_from'] + ([number] if number else []), ['valid_to']) }}
{%- endmacro %}

{% macro _columns(alias, columns) -%}
    {% for column in columns %}{{ alias }}.{{ column }}{{ ", " if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro _same(left, right, keys) -%}
    {% for key in keys %}{{ left }}.{{ key }} = {{ right }}.{{ key }}{{ " and " if not loop.last }}{% endfor %}
{%- endmacro %}
