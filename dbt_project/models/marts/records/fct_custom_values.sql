with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, aggregate_id
            order by aggregate_version
        ) as changed_at
    from {{ ref('stg_custom_events') }}
),

believed as (
    select * from states
    where
        type <> 'deal.deleted'
        and (changed_at is null or changed_at > recorded_at)
)

select
    -- ids
    organization_id,
    record_id,
    aggregate_version as version_number,
    cast(entry_key as uuid) as field_id,

    -- facts
    record_kind,
    entry_value as field_value,

    -- timestamps
    recorded_at as known_from,
    changed_at as known_to
from believed
cross join {{ each_entry('believed.data', 'custom') }}
