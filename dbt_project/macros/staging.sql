{#-
  Lower bound of `loaded_at` for the next read of the raw relation, as a literal so that file statistics can prune. The
  loader stamps rows before it commits them: the bound lies far enough back for a commit that took long, and rows seen
  before are left out by their event_id.
-#}
{% macro unread_since(relation) -%}
    {%- if not is_update() -%}
        {{ return("timestamp with time zone '0001-01-01 00:00:00+00'") }}
    {%- endif -%}
    {%- set newest = run_query(
        "select cast(max(loaded_at) - interval '" ~ var('reread_minutes') ~ " minutes' as text) from " ~ relation
    ).columns[0].values()[0] -%}
    {{ return("timestamp with time zone '" ~ (newest or '0001-01-01 00:00:00+00') ~ "'") }}
{%- endmacro %}

{#- Condition that leaves out events which the relation holds already. -#}
{% macro is_unseen(relation, alias) -%}
    {%- if is_update() -%}
        not exists (select 1 from {{ relation }} as seen where seen.event_id = {{ alias }}.event_id)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Number of the newest batch that the relation holds, 0 for none; a literal, so that block statistics can prune. -#}
{% macro newest_batch(relation) -%}
    {%- if not is_update() -%}
        {{ return(0) }}
    {%- endif -%}
    {{ return(run_query('select coalesce(max(batch_id), 0) from ' ~ relation).columns[0].values()[0]) }}
{%- endmacro %}

{#- Columns that every staged event of one aggregate group starts with. -#}
{% macro event_columns(key) -%}
    event_id,
        organization_id,
        aggregate_id as {{ key }},
        type,
        aggregate_version,
        occurred_at,
        recorded_at,
        batch_id
{%- endmacro %}
