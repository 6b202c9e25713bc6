{#-
  Which events a build has to work on. Every build that finds new events gives them the next batch number (stg_events).
  A batch is confirmed when all models and tests of a build succeeded; until then each build works on it again, so a
  build that failed half-way, or whose tests failed, loses nothing and publishes nothing unchecked.

  The row also names the project (models and macros) that built the tables: the runner refreshes in full after a change.
-#}

{% macro build_progress() -%}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier='build_progress')) }}
{%- endmacro %}

{% macro create_build_progress() -%}
    {%- if flags.WHICH in ('build', 'run', 'test') -%}
        create schema if not exists staging;
        create table if not exists {{ build_progress() }} (
            confirmed_batch bigint not null, confirmed_through timestamp with time zone, project text not null
        );
        {{ create_journals() }}
    {%- endif -%}
{%- endmacro %}

{#- Number of the newest confirmed batch, 0 before the first. -#}
{% macro confirmed_batch() -%}
    (select coalesce(max(confirmed_batch), 0) from {{ build_progress() }})
{%- endmacro %}

{#- The same as a literal, so that block statistics can prune. -#}
{% macro confirmed_batch_number() -%}
    {%- if not execute or flags.WHICH not in ('build', 'run', 'test') -%}
        {{ return(0) }}
    {%- endif -%}
    {{ return(run_query('select ' ~ confirmed_batch()).columns[0].values()[0]) }}
{%- endmacro %}

{#- Number of the newest batch that this build works on. -#}
{% macro last_batch() -%}
    (
        select coalesce(max(last_batch), {{ confirmed_batch_number() }})
        from {{ worklist('int_touched_aggregates') }}
    )
{%- endmacro %}

{#- The newest recorded_at among the confirmed events, null before the first. -#}
{% macro confirmed_through() -%}
    (select max(confirmed_through) from {{ build_progress() }})
{%- endmacro %}

{#- Rendered at the end of a run: confirms the newest batch if the run built and tested the whole project. -#}
{% macro confirm_batch(results) -%}
    {%- if execute and flags.WHICH == 'build' -%}
        {%- set succeeded = [] -%}
        {%- set failed = [] -%}
        {%- for result in results -%}
            {%- if result.status in ('success', 'pass', 'warn') -%}
                {%- do succeeded.append(result.node.unique_id) -%}
            {%- else -%}
                {%- do failed.append(result.node.unique_id) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set missing = [] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type in ('model', 'test')
            and node.unique_id not in succeeded
        -%}
            {%- do missing.append(node.unique_id) -%}
        {%- endfor -%}
        {%- if not failed and not missing -%}
            delete from {{ build_progress() }};
            insert into {{ build_progress() }} (confirmed_batch, confirmed_through, project)
            select
                coalesce(max(batch_id), 0),
                max(recorded_at),
                '{{ env_var('SLUICE_DBT_PROJECT', '') }}'
            from {{ api.Relation.create(database=target.database, schema='staging', identifier='stg_events') }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- A model as an earlier build left it, for what decides whether it must be built again. -#}
{% macro earlier_build_of(name) -%}
    {%- set relation = api.Relation.create(database=target.database, schema=target.schema, identifier=name) -%}
    {%- if not execute or load_cached_relation(relation) is none -%}
        {{ return("(select cast(null as uuid) as organization_id, cast(null as date) as day where false) as " ~ name) }}
    {%- endif -%}
    {{ return(relation) }}
{%- endmacro %}
