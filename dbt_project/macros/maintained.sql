{#-
  Materialization `maintained`: a table that builds bring up to date in place, in one statement and one transaction.

  The model's meta names the relation that lists what a build works on (`affected`), its unique_key the columns by which
  rows are replaced: all rows of the affected keys go and are computed anew, so that rows which are no more (a deleted
  deal, a day without wins) go too. Without `affected` rows are only added. The model's own filter must say the same
  (`is_affected`). A full refresh builds it anew.

  dbt's own incremental materialization does the same through a temporary table and a dozen more statements, each of which
  takes longer than the update itself when a refresh has a handful of events.
-#}
{% materialization maintained, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if is_update() %}
        {% call statement('main') %}
            {{ update_in_place(target_relation, sql) }}
        {% endcall %}
    {% else %}
        {% set existing = load_cached_relation(this) %}
        {% if existing is not none %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main') %}
            {{ get_create_table_as_sql(False, target_relation, sql) }}
        {% endcall %}
        {% do create_own_indexes(target_relation) %}
    {% endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#- Materialization `standing_view`: a view that stays as it is until a full refresh. -#}
{% materialization standing_view, default %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {% if is_update() %}
        {% call noop_statement('main', 'STANDS') %}
            -- as it was
        {% endcall %}
    {% else %}
        {% set existing = load_cached_relation(this) %}
        {% if existing is not none %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main') %}
            {{ get_create_view_as_sql(target_relation, sql) }}
        {% endcall %}
        {% do adapter.commit() %}
    {% endif %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#- Whether the build updates this model; false in unit tests, which look at the full query. -#}
{% macro is_update() -%}
    {%- if not execute or model.resource_type != 'model' or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(load_cached_relation(this) is not none) }}
{%- endmacro %}

{% macro update_in_place(relation, sql) -%}
    {%- set columns = model.columns.keys() | join(', ') -%}
    {%- set affected = config.get('meta', {}).get('affected') -%}
    {%- if affected -%}
        {%- set keys = config.get('unique_key') | join(', ') -%}
        delete from {{ relation }}
        where ({{ keys }}) in (select {{ keys }} from {{ ref(affected) }});
    {%- endif %}
    insert into {{ relation }} ({{ columns }})
    select {{ columns }} from (
        {{ sql }}
    ) as model_rows
{%- endmacro %}

{#- DuckDB gets none: it prunes by block statistics, and its indexes have lost data before. -#}
{% macro create_own_indexes(relation) -%}
    {{ return(adapter.dispatch('create_own_indexes', 'sluice')(relation)) }}
{%- endmacro %}

{% macro duckdb__create_own_indexes(relation) -%}
{%- endmacro %}

{% macro postgres__create_own_indexes(relation) -%}
    {%- do create_indexes(relation) -%}
    {%- do run_query('analyze ' ~ relation) -%}
{%- endmacro %}

{#-
  Condition that keeps the affected keys in an update, and everything otherwise. `keys` are the model's names of the
  relation's `columns`.
-#}
{% macro is_affected(relation, keys, columns=none, alias=none) -%}
    {%- if is_update() -%}
        ({% for key in keys %}{{ alias ~ "." if alias }}{{ key }}{{ ", " if not loop.last }}{% endfor %})
        in (select {{ (columns or keys) | join(', ') }} from {{ relation }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
