with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, invoice_id
            order by aggregate_version
        ) as changed_at,
        min(occurred_at) over (partition by organization_id, invoice_id) as issued_at,
        -- an attempt that did not pay has failed
        min(case when payment_attempts > 0 and status <> 'paid' then occurred_at end) over (
            partition by organization_id, invoice_id
            order by aggregate_version
        ) as failed_at
    from {{ ref('stg_invoice_events') }}
)

select
    -- ids
    organization_id,
    invoice_id,
    aggregate_version as version_number,
    subscription_id,
    -- the organization's, nobody's own: only who sees all records sees it
    cast(null as uuid) as owner_id,

    -- facts
    status,
    seats,
    total_minor,
    currency,
    payment_attempts,
    seats_minor,
    usage_minor,

    -- timestamps
    issued_at,
    failed_at,
    recorded_at as known_from,
    changed_at as known_to
from states
where changed_at is null or changed_at > recorded_at
