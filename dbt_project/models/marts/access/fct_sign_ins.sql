select
    -- ids
    organization_id,
    event_id as sign_in_id,
    user_id,

    -- timestamps
    occurred_at as signed_in_at,
    recorded_at as known_from,
    -- what happened is not taken back
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_sign_in_events') }}
