{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'day'],
        meta={'affected': 'int_affected_days'},
        indexes=[{'columns': ['organization_id', 'day']}],
    )
}}

{% set affected = ref('int_affected_days') %}

with organizations as (
    select
        organization_id,
        time_zone
    from {{ ref('dim_organizations') }}
    where known_to is null and valid_to is null
),

memberships as (
    select * from {{ ref('dim_team_members') }}
    where known_to is null
),

deals as (
    select * from {{ ref('fct_deals') }}
    where known_to is null
),

{% if is_update() %}
{{ near_days(affected) }},
{% endif %}

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
    where {{ is_near('created_at') if is_update() else 'true' }}
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
    where
        closed_at is not null
        and {{ is_near('closed_at') if is_update() else 'true' }}
),

dated as (
    select
        credits.*,
        {{ local_day('credits.credited_at', 'organizations.time_zone') }} as day
    from credits
    inner join organizations on credits.organization_id = organizations.organization_id
),

teamed as (
    select
        dated.*,
        memberships.team_id
    from dated
    left join memberships
        on
            dated.organization_id = memberships.organization_id
            and dated.owner_id = memberships.user_id
            and memberships.valid_from <= dated.credited_at
            and (memberships.valid_to is null or memberships.valid_to > dated.credited_at)
    where {{ is_affected(affected, ['organization_id', 'day'], alias='dated') }}
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
    cast(sum(won_amount_minor) as bigint) as won_amount_minor,
    currency
from teamed
group by organization_id, team_id, owner_id, pipeline_id, day, currency
