{#-
  Which events a build has to work on. Every build that finds new events gives them the next batch number (stg_events).
  A group, as far as it has one speed, has confirmed a batch when all its models and tests succeeded on it; until then
  each build works on it again, so a build that failed half-way, or whose tests failed, loses nothing and publishes
  nothing unchecked. Written by orchestration/build/progress.py, which also says there what built the tables.
-#}

{% macro group_progress() -%}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier='group_progress')) }}
{%- endmacro %}

{% macro create_progress() -%}
    {%- if flags.WHICH in ('build', 'run', 'test') -%}
        create schema if not exists staging;
        create table if not exists {{ group_progress() }} (
            group_name text not null,
            speed text not null,
            confirmed_batch bigint not null,
            confirmed_through timestamp with time zone,
            built_from text not null,
            is_sound boolean not null
        );
        {{ create_journals() }}
        {#- batches are numbered anew: what was confirmed of the old ones says nothing of these -#}
        {%- if flags.FULL_REFRESH and 'model.sluice.stg_events' in selected_resources -%}
            ; delete from {{ group_progress() }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Number of the newest confirmed batch, 0 before the first. -#}
{% macro confirmed_batch() -%}
    (select coalesce(max(confirmed_batch), 0) from {{ group_progress() }})
{%- endmacro %}

{#- That of a group's live models, the own group's if none is named; a literal, so that block statistics can prune. -#}
{% macro confirmed_batch_number(group=none) -%}
    {%- if not execute or flags.WHICH not in ('build', 'run', 'test') -%}
        {{ return(0) }}
    {%- endif -%}
    {{ return(run_query(
        "select coalesce(max(confirmed_batch), 0) from " ~ group_progress()
        ~ " where speed = 'live' and group_name = '" ~ (group or model.config.group) ~ "'"
    ).columns[0].values()[0]) }}
{%- endmacro %}

{#- The calendar as an earlier build left it, for what decides whether it must be built again. -#}
{% macro earlier_calendar() -%}
    {%- set relation = api.Relation.create(database=target.database, schema=target.schema, identifier='dim_dates') -%}
    {%- if not execute or load_cached_relation(relation) is none -%}
        (
            select
                cast(null as uuid) as organization_id,
                cast(null as timestamp with time zone) as starts_at,
                cast(null as timestamp with time zone) as ends_at
            where false
        ) as calendar
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
