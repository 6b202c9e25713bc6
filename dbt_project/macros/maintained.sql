{#-
  Materialization `maintained`: a table that builds bring up to date in place, in one transaction, by the difference.

  The model's meta names the relation that lists what a build works on (`affected`), its unique_key the columns by which
  rows are replaced: all rows of the affected keys are computed anew and compared with those there are; rows which are no
  more (a deleted deal, a day without wins) go, new ones come, and equal ones, mostly the greater part, stay untouched.
  `row_key` (else unique_key) are columns without nulls by which two rows are found to be equal. Without `affected` rows
  are only added. The model's own filter must say the same (`is_affected`). A full refresh builds it anew.

  What was computed stays in `staging.new_<model>` until the next build, for models and tests that need no more than that
  (`built_rows`); what changed in a mart goes into its journal (macros/journal.sql).

  dbt's own incremental materialization rewrites whole keys through a dozen more statements, each of which takes longer
  than the update itself when a refresh has a handful of events.
-#}
{% materialization maintained, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set new_rows = new_rows_of(model.name) -%}
    {%- set relations = [target_relation] -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if is_update() %}
        {% call statement('main') %}
            {{ update_in_place(target_relation, sql) }}
        {% endcall %}
        {% if config.get('meta', {}).get('affected') %}
            {% do relations.append(new_rows) %}
        {% endif %}
    {% else %}
        {% for existing in [load_cached_relation(this), load_cached_relation(new_rows)] if existing is not none %}
            {% do adapter.drop_relation(existing) %}
        {% endfor %}
        {% call statement('main') %}
            {{ get_create_table_as_sql(False, target_relation, sql) }}
        {% endcall %}
        {% if is_journaled() %}
            {% do run_query(begin_journal(target_relation)) %}
        {% endif %}
        {% do create_own_indexes(target_relation) %}
    {% endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': relations}) }}
{% endmaterialization %}

{#- Materialization `worklist`: a small table of what a build works on, made anew by each. -#}
{% materialization worklist, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {% set existing = load_cached_relation(this) %}
    {% if existing is not none and existing.type != 'table' %}
        {% do adapter.drop_relation(existing) %}
    {% endif %}
    {% call statement('main') %}
        drop table if exists {{ target_relation }};
        create table {{ target_relation }} as (
            {{ sql }}
        )
    {% endcall %}
    {% do adapter.commit() %}
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
    {%- set meta = config.get('meta', {}) -%}
    {%- if not meta.get('affected') %}
        insert into {{ relation }} ({{ columns }})
        select {{ columns }} from (
            {{ sql }}
        ) as model_rows
    {%- else -%}
        {%- set new_rows = new_rows_of(model.name) -%}
        {%- set old, added = 'old_' ~ model.name, 'added_' ~ model.name -%}
        drop table if exists {{ new_rows }};
        create table {{ new_rows }} as select {{ columns }} from (
            {{ sql }}
        ) as model_rows;
        create temporary table {{ old }} as
        select {{ row_place() }} as place, {{ columns }} from {{ relation }}
        where {{ has_key_in(relation, config.get('unique_key'), worklist(meta['affected'])) }};
        {{ gather_statistics([new_rows, old]) }}
        create temporary table {{ added }} as
        select {{ columns }} from {{ new_rows }} as new
        where not exists (select 1 from {{ old }} as old where {{ is_same_row('new', 'old') }});
        delete from {{ old }} as old
        where exists (select 1 from {{ new_rows }} as new where {{ is_same_row('new', 'old') }});
        {%- if is_journaled() %}
        {{ write_journal(model.name, columns, removed=old, added=added) }}
        {%- endif %}
        delete from {{ relation }} where {{ row_place() }} in (select place from {{ old }});
        insert into {{ relation }} ({{ columns }}) select {{ columns }} from {{ added }};
        drop table {{ added }};
        drop table {{ old }}
    {%- endif %}
{%- endmacro %}

{#- A worklist by its name: the model reads it, or reads one that was made of it. -#}
{% macro worklist(name) -%}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier=name)) }}
{%- endmacro %}

{#- Whether two rows of this model are equal; the first conditions are those that an engine can hash. -#}
{% macro is_same_row(left, right) -%}
    {%- set keys = config.get('meta').get('row_key', config.get('unique_key')) -%}
    {% for key in keys %}{{ left }}.{{ key }} = {{ right }}.{{ key }}{{ " and " if not loop.last }}{% endfor %}
    {%- for column in model.columns if column not in keys %}
        and {{ left }}.{{ column }} is not distinct from {{ right }}.{{ column }}
    {%- endfor %}
{%- endmacro %}

{#- The table of the rows that an update computed anew. -#}
{% macro new_rows_of(name) -%}
    {{ return(api.Relation.create(
        database=target.database, schema='staging', identifier='new_' ~ name, type='table'
    )) }}
{%- endmacro %}

{#-
  The rows of a model that this build computed anew: all of those of the affected keys. The whole model where the build
  made it whole, and outside of builds.
-#}
{% macro built_rows(name) -%}
    {%- set whole = ref(name) -%}
    {%- set is_made_anew = model.resource_type == 'model' and not is_update() -%}
    {%- if not execute or is_whole() or is_made_anew or load_cached_relation(new_rows_of(name)) is none -%}
        {{ return(whole) }}
    {%- endif -%}
    {{ return(new_rows_of(name)) }}
{%- endmacro %}

{#- Whether whole models are looked at: in a full refresh, by tests that run by themselves, and in unit tests. -#}
{% macro is_whole() -%}
    {{ return(flags.FULL_REFRESH or flags.WHICH != 'build' or model.resource_type == 'unit_test') }}
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
