select
    -- ids
    organization_id,
    usage_report_id,
    subscription_id,

    -- facts
    meter,
    quantity,

    -- timestamps
    stamped_at,
    recorded_at as known_from,
    -- what was told stays told
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_usage_events') }}
