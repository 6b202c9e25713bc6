{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_pipelines', 'row_key': ['organization_id', 'pipeline_id']},
    )
}}

{% set configured = ref('int_configured_pipelines') %}

with facts as (
    select
        organization_id,
        pipeline_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        true as sets_state,
        true as is_first,
        false as is_last,
        name,
        is_active
    from {{ ref('stg_pipeline_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

{{ bitemporal_states(keys=['organization_id', 'pipeline_id'], groups={'sets_state': ['name', 'is_active']}) }}
