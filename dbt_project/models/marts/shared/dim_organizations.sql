{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_organizations'},
    )
}}

{% set configured = ref('int_configured_organizations') %}

with facts as (
    select
        organization_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        true as sets_state,
        true as is_first,
        false as is_last,
        time_zone,
        currency,
        week_start,
        fiscal_year_start_month
    from {{ ref('stg_organization_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

{{ bitemporal_states(
    keys=['organization_id'],
    groups={'sets_state': ['time_zone', 'currency', 'week_start', 'fiscal_year_start_month']},
) }}
