{#-
  Everything in which the engines differ. Models call these and stay plain SQL.
-#}

{#- Text of a JSON document's field; SQL null for a JSON null and for a field that is not there. -#}
{% macro json_text(document, field) -%}
    {{ return(adapter.dispatch('json_text', 'sluice')(document, field)) }}
{%- endmacro %}

{% macro duckdb__json_text(document, field) -%}
    json_extract_string({{ document }}, '$.{{ field }}')
{%- endmacro %}

{% macro postgres__json_text(document, field) -%}
    ({{ document }} ->> '{{ field }}')
{%- endmacro %}

{#- Lateral table with one row per day, both ends included, in its column `day`. -#}
{% macro each_day(first_day, last_day, alias='days') -%}
    {{ return(adapter.dispatch('each_day', 'sluice')(first_day, last_day, alias)) }}
{%- endmacro %}

{% macro duckdb__each_day(first_day, last_day, alias) -%}
    lateral (
        select cast(unnest(generate_series({{ first_day }}, {{ last_day }}, interval '1 day')) as date) as day
    ) as {{ alias }}
{%- endmacro %}

{% macro postgres__each_day(first_day, last_day, alias) -%}
    lateral (
        select cast(series.instant as date) as day
        from generate_series(
            cast({{ first_day }} as timestamp), cast({{ last_day }} as timestamp), interval '1 day'
        ) as series (instant)
    ) as {{ alias }}
{%- endmacro %}

{#- Lateral table with a row per entry, `entry_key` and its text `entry_value`, of the object that is a field of a document. -#}
{% macro each_entry(document, field, alias='entries') -%}
    {{ return(adapter.dispatch('each_entry', 'sluice')(document, field, alias)) }}
{%- endmacro %}

{% macro duckdb__each_entry(document, field, alias) -%}
    lateral (
        select
            keys.entry_key,
            json_extract_string({{ document }}, '$.{{ field }}."' || keys.entry_key || '"') as entry_value
        from (select unnest(json_keys({{ document }}, '$.{{ field }}')) as entry_key) as keys
    ) as {{ alias }}
{%- endmacro %}

{% macro postgres__each_entry(document, field, alias) -%}
    lateral jsonb_each_text({{ document }} -> '{{ field }}') as {{ alias }} (entry_key, entry_value)
{%- endmacro %}

{#- ISO weekday, 1 is Monday. -#}
{% macro iso_weekday(day) -%}
    cast(extract(isodow from {{ day }}) as integer)
{%- endmacro %}

{#- A day moved by a number of days. -#}
{% macro add_days(day, days) -%}
    cast({{ day }} + cast({{ days }} as integer) as date)
{%- endmacro %}

{#-
  The raw relation, of which at least the rows loaded at `since` (a literal) or later. DuckDB reads the Delta table's
  files that may hold such rows, as orchestration/build/raw_delta.py lists them; PostgreSQL reads the loader's table. Before
  the loader's first commit both give no rows.
-#}
{% macro raw_events(since) -%}
    {{ return(adapter.dispatch('raw_events', 'sluice')(since)) }}
{%- endmacro %}

{% macro duckdb__raw_events(since) -%}
    {%- do source('raw', 'events') -%}
    {%- set files = [] -%}
    {%- if execute -%}
        {%- set found = run_query(
            "select path from raw_files where newest_loaded_at is null or newest_loaded_at >= " ~ since ~ " order by path"
        ) -%}
        {%- for path in found.columns[0].values() -%}
            {%- do files.append("'" ~ path | replace("'", "''") ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if not files -%}
        {{ return(_no_raw_events()) }}
    {%- endif -%}
    {{ return("read_parquet([" ~ files | join(", ") ~ "], union_by_name = true)") }}
{%- endmacro %}

{% macro postgres__raw_events(since) -%}
    {%- set raw = source('raw', 'events') -%}
    {%- if execute and adapter.get_relation(raw.database, raw.schema, raw.identifier) is none -%}
        {{ return(_no_raw_events()) }}
    {%- endif -%}
    {{ return(raw) }}
{%- endmacro %}

{% macro _no_raw_events() -%}
    {%- if not execute -%}
        {{ return('raw_events') }}
    {%- endif -%}
    (
        select
            {% for column in graph.sources['source.sluice.raw.events'].columns.values() -%}
                cast(null as {{ column.data_type | replace('jsonb', _json_type()) }})
                    as {{ adapter.quote(column.name) }}{{ "," if not loop.last }}
            {% endfor %}
        where false
    ) as raw_events
{%- endmacro %}

{% macro _json_type() -%}
    {{ return(adapter.dispatch('_json_type', 'sluice')()) }}
{%- endmacro %}

{% macro duckdb___json_type() -%}
    {{ return('text') }}
{%- endmacro %}

{% macro postgres___json_type() -%}
    {{ return('jsonb') }}
{%- endmacro %}

{#- Where a row lies: good for as long as nothing else writes the table. -#}
{% macro row_place() -%}
    {{ return(adapter.dispatch('row_place', 'sluice')()) }}
{%- endmacro %}

{% macro duckdb__row_place() -%}
    {{ return('rowid') }}
{%- endmacro %}

{% macro postgres__row_place() -%}
    {{ return('ctid') }}
{%- endmacro %}

{#-
  Condition that keeps a relation's rows whose `keys` are in a list of few. DuckDB, which has no index, reads the keys
  first, and of the other columns what it found.
-#}
{% macro has_key_in(relation, keys, list) -%}
    {{ return(adapter.dispatch('has_key_in', 'sluice')(relation, keys, list)) }}
{%- endmacro %}

{% macro duckdb__has_key_in(relation, keys, list) -%}
    rowid in (
        select rowid from {{ relation }}
        where ({{ keys | join(', ') }}) in (select {{ keys | join(', ') }} from {{ list }})
    )
{%- endmacro %}

{% macro postgres__has_key_in(relation, keys, list) -%}
    ({{ keys | join(', ') }}) in (select {{ keys | join(', ') }} from {{ list }})
{%- endmacro %}

{#- Statements that tell the planner how large new tables are, where it does not know by itself. -#}
{% macro gather_statistics(tables) -%}
    {{ return(adapter.dispatch('gather_statistics', 'sluice')(tables)) }}
{%- endmacro %}

{% macro duckdb__gather_statistics(tables) -%}
{%- endmacro %}

{% macro postgres__gather_statistics(tables) -%}
    {%- for table in tables %}
        analyze {{ table }};
    {%- endfor %}
{%- endmacro %}

{#- Whole days from one instant to another. -#}
{% macro whole_days(start, end) -%}
    cast(floor((extract(epoch from {{ end }}) - extract(epoch from {{ start }})) / 86400) as integer)
{%- endmacro %}

{#- How often a whole number goes into another, exactly; neither is negative. -#}
{% macro whole_quotient(part, whole) -%}
    {{ return(adapter.dispatch('whole_quotient', 'sluice')(part, whole)) }}
{%- endmacro %}

{% macro duckdb__whole_quotient(part, whole) -%}
    cast(cast({{ part }} as hugeint) // cast({{ whole }} as hugeint) as numeric(38, 0))
{%- endmacro %}

{% macro postgres__whole_quotient(part, whole) -%}
    div({{ part }}, {{ whole }})
{%- endmacro %}

{#- When the newest row of raw was loaded, in its column `loaded_at`. DuckDB asks the Delta table's log, and reads no row. -#}
{% macro newest_load() -%}
    {{ return(adapter.dispatch('newest_load', 'sluice')()) }}
{%- endmacro %}

{% macro duckdb__newest_load() -%}
    (select max(newest_loaded_at) as loaded_at from raw_files) as newest
{%- endmacro %}

{% macro postgres__newest_load() -%}
    (select max(loaded_at) as loaded_at from {{ this }}) as newest
{%- endmacro %}
