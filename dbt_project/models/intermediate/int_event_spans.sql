{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'affected': 'int_touched_organizations'},
    )
}}

{% set touched = ref('int_touched_organizations') %}

-- what was counted stays counted: only batches that came since are read
with fresh as (
    select
        organization_id,
        count(*) as event_count,
        -- memberships may reach back to 1970: days count from the organization's and its deals' first
        min(case when aggregate_type in ('organization', 'deal') then occurred_at end) as first_at,
        max(recorded_at) as through,
        max(batch_id) as batch_id
    from {{ ref('stg_events') }}
    where batch_id > {{ newest_batch(this) }}
    group by organization_id
),

spans as (
    select * from fresh
    {% if is_update() %}
        union all
        select
            organization_id,
            event_count,
            first_at,
            through,
            batch_id
        from {{ this }}
        where {{ is_affected(touched, ['organization_id']) }}
    {% endif %}
)

select
    organization_id,
    cast(sum(event_count) as bigint) as event_count,
    min(first_at) as first_at,
    max(through) as through,
    max(batch_id) as batch_id
from spans
group by organization_id
