{#-
  The journal: what builds took out of a mart (weight -1) and put into it (weight 1), written in the transaction that
  does so. The sum of a row's weights over any stretch says what became of it: 1 came, -1 went, 0 neither. So a copy of
  the marts is brought from one version to another by the sums alone, whatever builds failed in between.

  The publisher names the version with which a change came first (orchestration/publish/journal.py) and forgets changes that no
  copy needs any more. `staging.journals` says after which version a mart's journal is complete: null until the publisher
  names one, for a mart that was made anew.
-#}

{% macro is_journaled() -%}
    {{ return(model.resource_type == 'model' and model.fqn[1] == 'marts') }}
{%- endmacro %}

{% macro journal_of(name) -%}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier='changes_' ~ name)) }}
{%- endmacro %}

{% macro journals() -%}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier='journals')) }}
{%- endmacro %}

{% macro create_journals() -%}
    create table if not exists {{ journals() }} (mart text not null, row_key text not null, complete_after text)
{%- endmacro %}

{#- Statements that begin an empty journal of a mart made anew. -#}
{% macro begin_journal(relation) -%}
    {%- set journal = journal_of(relation.identifier) -%}
    drop table if exists {{ journal }};
    create table {{ journal }} as
    select
        cast(0 as integer) as change_weight,
        cast(null as text) as change_version,
        mart.*
    from {{ relation }} as mart
    where false;
    delete from {{ journals() }} where mart = '{{ relation.identifier }}';
    insert into {{ journals() }} (mart, row_key)
    values ('{{ relation.identifier }}', '{{ config.get('meta').get('row_key', config.get('unique_key')) | join(', ') }}')
{%- endmacro %}

{#- After a settled mart was built: it has no journal, and is copied as a whole. Says so to the publisher. -#}
{% macro note_made_anew() -%}
    {%- if execute and config.get('materialized') != 'maintained' -%}
        delete from {{ journals() }} where mart = '{{ this.identifier }}';
        insert into {{ journals() }} (mart, row_key) values ('{{ this.identifier }}', '')
    {%- endif -%}
{%- endmacro %}

{% macro write_journal(name, columns, removed, added) -%}
    insert into {{ journal_of(name) }} (change_weight, {{ columns }})
    select -1, {{ columns }} from {{ removed }}
    union all
    select 1, {{ columns }} from {{ added }};
{%- endmacro %}
