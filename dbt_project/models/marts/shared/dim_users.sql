{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_organizations', 'row_key': ['organization_id', 'user_id']},
    )
}}

{% set configured = ref('int_configured_organizations') %}

with facts as (
    select
        organization_id,
        user_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        true as sets_state,
        true as is_first,
        false as is_last,
        role,
        record_scope,
        is_active
    from {{ ref('stg_user_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

{{ bitemporal_states(
    keys=['organization_id', 'user_id'],
    groups={'sets_state': ['role', 'record_scope', 'is_active']},
) }}
