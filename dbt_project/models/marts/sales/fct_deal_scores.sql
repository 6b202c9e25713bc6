-- a score counts from when it was given and its instant is there, until one of a later instant does
with scores as (
    select
        organization_id,
        deal_id,
        score_id,
        score,
        scored_at,
        recorded_at,
        greatest(scored_at, recorded_at) as counts_from
    from {{ ref('stg_deal_score_events') }}
),

followed as (
    select
        *,
        min(counts_from) over (
            partition by organization_id, deal_id
            order by scored_at, recorded_at, score_id
            rows between 1 following and unbounded following
        ) as counts_to
    from scores
)

select
    -- ids
    organization_id,
    deal_id,
    score_id,

    -- facts
    score,

    -- timestamps
    counts_from as known_from,
    counts_to as known_to
from followed
where counts_to is null or counts_to > counts_from
