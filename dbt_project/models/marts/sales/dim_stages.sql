{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_pipelines', 'row_key': ['organization_id', 'stage_id']},
    )
}}

{% set configured = ref('int_configured_pipelines') %}

with facts as (
    select
        organization_id,
        stage_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        type != 'stage.deleted' as sets_state,
        type != 'stage.updated' as sets_standing,
        type = 'stage.created' as is_first,
        false as is_last,
        pipeline_id,
        name,
        kind,
        position,
        target_days,
        type = 'stage.deleted' as is_retired
    from {{ ref('stg_stage_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

{{ bitemporal_states(
    keys=['organization_id', 'stage_id'],
    groups={
        'sets_state': ['pipeline_id', 'name', 'kind', 'position', 'target_days'],
        'sets_standing': ['is_retired'],
    },
) }}
