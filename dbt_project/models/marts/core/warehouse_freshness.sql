{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'affected': 'int_touched_aggregates'},
    )
}}

{% set touched = ref('int_touched_aggregates') %}

select
    organization_id,
    through,
    event_count
from {{ ref('int_event_spans') }}
where {{ is_affected(touched, ['organization_id']) }}
