{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'rates_id'],
        meta={
            'speed': 'live', 'affected': 'int_changed_rates',
            'row_key': ['organization_id', 'rates_id', 'version_number', 'currency'],
        },
    )
}}

{% set changed = ref('int_changed_rates') %}

with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, rates_id
            order by aggregate_version
        ) as changed_at
    from {{ ref('stg_exchange_rate_events') }}
    where {{ is_affected(changed, ['organization_id', 'rates_id']) }}
),

believed as (
    select * from states
    where changed_at is null or changed_at > recorded_at
)

select
    -- ids
    organization_id,
    rates_id,
    aggregate_version as version_number,
    entry_key as currency,

    -- facts
    day,
    base,
    cast(cast(entry_value as numeric(19, 9)) * 1000000000 as bigint) as rate_billionths,

    -- timestamps
    recorded_at as known_from,
    changed_at as known_to
from believed
cross join {{ each_entry('believed.data', 'rates') }}
