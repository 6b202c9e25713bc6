{#-
  One query for what every relation owes: a unique key, no nulls but where they mean something, known values, intervals
  that do not end before they begin. Each failing row says what is wrong, how often, and in which rows (the keys of two).
  One test instead of a dozen: a refresh runs all of them each time, on the rows that it computed; `dbt test` looks at all there are.
-#}
{% test sound_rows(model, key, nullable=[], accepted={}, ordered=[]) %}
    {%- set checks = {} -%}
    {#- while dbt parses, the model's name is not known yet -#}
    {%- set rows = built_rows(model.identifier) if execute else model -%}
    {%- for column in columns_of(model.identifier) if column not in nullable -%}
        {%- do checks.update({column ~ ' is null': column ~ ' is null'}) -%}
    {%- endfor -%}
    {%- for column, values in accepted.items() -%}
        {%- do checks.update(
            {column ~ ' is unknown': column ~ " not in ('" ~ values | join("', '") ~ "')"}
        ) -%}
    {%- endfor -%}
    {%- for first, last in ordered -%}
        {%- do checks.update({last ~ ' before ' ~ first: last ~ ' < ' ~ first}) -%}
    {%- endfor -%}

    {%- set named = [] -%}
    {%- for column in key -%}
        {%- do named.append("'" ~ column ~ " ' || coalesce(cast(" ~ column ~ " as text), 'null')") -%}
    {%- endfor -%}
    {%- set key_text = named | join(" || ', ' || ") %}

    with duplicates as (
        select
            min({{ key_text }}) as key_text
        from {{ rows }}
        group by {{ key | join(', ') }}
        having count(*) > 1
    ),

    counts as (
        select
            {% for condition in checks.values() -%}
                count(case when {{ condition }} then 1 end) as check_{{ loop.index }},
                min(case when {{ condition }} then {{ key_text }} end) as first_{{ loop.index }},
                max(case when {{ condition }} then {{ key_text }} end) as last_{{ loop.index }}{{ "," if not loop.last }}
            {% endfor %}
        from {{ rows }}
    ),

    problems as (
        select
            'duplicate key' as problem,
            count(*) as row_count,
            min(key_text) as first_key,
            max(key_text) as last_key
        from duplicates
        {%- for name in checks %}
        union all
        select
            '{{ name }}' as problem,
            check_{{ loop.index }} as row_count,
            first_{{ loop.index }} as first_key,
            last_{{ loop.index }} as last_key
        from counts
        {%- endfor %}
    )

    select
        problem,
        row_count,
        case when first_key = last_key then first_key else first_key || ' and ' || last_key end as sample
    from problems
    where row_count > 0
{% endtest %}

{#- Names of a model's declared columns; its contract makes them all there are. -#}
{% macro columns_of(name) -%}
    {%- set names = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name -%}
            {%- do names.extend(node.columns.keys()) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(names) }}
{%- endmacro %}
