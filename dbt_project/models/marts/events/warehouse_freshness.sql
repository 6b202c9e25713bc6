{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_touched_organizations'},
    )
}}

{% set touched = ref('int_touched_organizations') %}

select
    organization_id,
    through,
    event_count
from {{ ref('int_event_spans') }}
where {{ is_affected(touched, ['organization_id']) }}
