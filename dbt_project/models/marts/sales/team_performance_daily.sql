with days as (
    {{ days_by_utc_day() }}
),

memberships as (
    select * from {{ ref('dim_team_members') }}
    where known_to is null
),

deals as (
    select * from {{ ref('fct_deals') }}
    where known_to is null
),

credits as (
    select
        organization_id,
        pipeline_id,
        creation_owner_id as owner_id,
        created_at as credited_at,
        currency,
        1 as deals_created,
        0 as deals_won,
        0 as deals_lost,
        0 as won_amount_minor
    from deals
    union all
    select
        organization_id,
        pipeline_id,
        closing_owner_id as owner_id,
        closed_at as credited_at,
        currency,
        0 as deals_created,
        case when status = 'won' then 1 else 0 end as deals_won,
        case when status = 'lost' then 1 else 0 end as deals_lost,
        case when status = 'won' then coalesce(closing_amount_minor, 0) else 0 end as won_amount_minor
    from deals
    where closed_at is not null
),

teamed as (
    select
        credits.*,
        memberships.team_id,
        days.day
    from credits
    inner join days on {{ on_local_day('credits', 'credits.credited_at', 'days') }}
    left join memberships
        on
            credits.organization_id = memberships.organization_id
            and credits.owner_id = memberships.user_id
            and memberships.valid_from <= credits.credited_at
            and (memberships.valid_to is null or memberships.valid_to > credits.credited_at)
)

select
    organization_id,
    team_id,
    owner_id,
    pipeline_id,
    day,
    cast(sum(deals_created) as bigint) as deals_created,
    cast(sum(deals_won) as bigint) as deals_won,
    cast(sum(deals_lost) as bigint) as deals_lost,
    cast(sum(cast(won_amount_minor as numeric(38, 0))) as numeric(38, 0)) as won_amount_minor,
    currency
from teamed
group by organization_id, team_id, owner_id, pipeline_id, day, currency
