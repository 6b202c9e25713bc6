with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, account_day_id
            order by aggregate_version
        ) as changed_at
    from {{ ref('stg_account_day_events') }}
)

select
    -- ids
    organization_id,
    account_day_id,
    aggregate_version as version_number,
    account_id,
    -- the organization's, nobody's own: only who sees all records sees it
    cast(null as uuid) as owner_id,

    -- facts
    channel,
    case when missing + failed > 0 then 'incomplete' else 'complete' end as completeness,
    provider,
    stored,
    missing,
    filtered,
    failed,
    healed,

    -- timestamps
    began_at,
    recorded_at as known_from,
    changed_at as known_to
from states
where changed_at is null or changed_at > recorded_at
