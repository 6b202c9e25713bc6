{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_organizations', 'row_key': ['organization_id', 'team_id']},
    )
}}

{% set configured = ref('int_configured_organizations') %}

with facts as (
    select
        organization_id,
        team_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        true as sets_state,
        true as is_first,
        false as is_last,
        parent_team_id,
        manager_id,
        is_active
    from {{ ref('stg_team_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

{{ bitemporal_states(
    keys=['organization_id', 'team_id'],
    groups={'sets_state': ['parent_team_id', 'manager_id', 'is_active']},
) }}
