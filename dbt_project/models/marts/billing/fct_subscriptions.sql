with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, subscription_id
            order by aggregate_version
        ) as changed_at,
        min(occurred_at) over (partition by organization_id, subscription_id) as started_at
    from {{ ref('stg_subscription_events') }}
)

select
    -- ids
    organization_id,
    subscription_id,
    aggregate_version as version_number,
    -- the organization's, nobody's own: only who sees all records sees it
    cast(null as uuid) as owner_id,

    -- facts
    plan,
    status,
    seats,
    monthly_minor,
    currency,

    -- timestamps
    started_at,
    case when type = 'subscription.cancelled' then occurred_at end as cancelled_at,
    recorded_at as known_from,
    changed_at as known_to
from states
where changed_at is null or changed_at > recorded_at
