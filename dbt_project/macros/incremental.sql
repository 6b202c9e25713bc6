{#-
  Incremental strategy `affected`: what a build works on is replaced as a whole, so that rows which are no more (a deleted
  deal, a day without wins) go too. The model's meta names the relation that lists the affected keys; `unique_key` is the
  key by which rows are replaced, and the model's own filter must use the same relation.
-#}
{% macro get_incremental_affected_sql(arguments) -%}
    {%- set keys = arguments['unique_key'] | join(', ') -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ arguments['target_relation'] }}
    where ({{ keys }}) in (select {{ keys }} from {{ ref(config.get('meta')['affected']) }});
    insert into {{ arguments['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arguments['temp_relation'] }}
{%- endmacro %}

{#-
  Condition that keeps the affected keys in an incremental build, and everything in a full one. `keys` are the model's
  names of the relation's `columns`.
-#}
{% macro is_affected(relation, keys, columns=none, alias=none) -%}
    {%- if is_incremental() -%}
        ({% for key in keys %}{{ alias ~ "." if alias }}{{ key }}{{ ", " if not loop.last }}{% endfor %})
        in (select {{ (columns or keys) | join(', ') }} from {{ relation }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
