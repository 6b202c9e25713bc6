select
    -- ids
    organization_id,
    event_id as payment_id,
    rental_id,
    account_id,
    user_id,

    -- facts
    channel,
    kind,
    paid_minor,
    currency,

    -- timestamps
    occurred_at as paid_at,
    recorded_at as known_from,
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_rental_payment_events') }}
