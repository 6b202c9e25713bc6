select
    -- ids
    organization_id,
    score_id,
    deal_id,
    contact_id,
    model_id,

    -- facts
    model_number,
    score,
    previous_score,
    horizon_days,

    -- timestamps
    scored_at,
    recorded_at as known_from,
    -- what was foretold stays foretold
    cast(null as timestamp with time zone) as known_to
from {{ ref('stg_score_events') }}
