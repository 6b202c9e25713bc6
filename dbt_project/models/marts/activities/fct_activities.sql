with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, activity_id
            order by aggregate_version
        ) as corrected_at
    from {{ ref('stg_activity_events') }}
)

select
    -- ids
    organization_id,
    activity_id,
    aggregate_version as version_number,
    author_id,
    deal_id,
    contact_id,
    company_id,

    -- facts
    kind,
    direction,
    duration_seconds,

    -- timestamps
    took_place_at,
    recorded_at as known_from,
    corrected_at as known_to
from states
where
    type <> 'activity.deleted'
    -- what one import or request corrects itself was never believed
    and (corrected_at is null or corrected_at > recorded_at)
