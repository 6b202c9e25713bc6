with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, goal_id
            order by aggregate_version
        ) as changed_at
    from {{ ref('stg_goal_events') }}
)

select
    -- ids
    organization_id,
    goal_id,
    aggregate_version as version_number,
    user_id,
    team_id,

    -- facts
    measure,
    starts_on,
    ends_on,
    target,
    currency,

    -- timestamps
    recorded_at as known_from,
    changed_at as known_to
from states
where
    type = 'goal.set'
    and (changed_at is null or changed_at > recorded_at)
