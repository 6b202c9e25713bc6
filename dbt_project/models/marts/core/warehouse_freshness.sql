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
    max(recorded_at) as through,
    count(*) as event_count
from {{ ref('stg_events') }}
where {{ is_affected(touched, ['organization_id']) }}
group by organization_id
