-- What people and teams won is what the deals say, to the cent.
with performance as (
    select
        organization_id,
        currency,
        sum(won_amount_minor) as amount_minor,
        sum(deals_won) as deals
    from {{ ref('team_performance_daily') }}
    group by organization_id, currency
    having sum(deals_won) > 0
),

deals as (
    select
        deals.organization_id,
        deals.currency,
        sum(coalesce(deals.closing_amount_minor, 0)) as amount_minor,
        count(*) as deals
    from {{ ref('fct_deals') }} as deals
    inner join {{ ref('dim_organizations') }} as organizations
        on
            deals.organization_id = organizations.organization_id
            and organizations.known_to is null
            and organizations.valid_to is null
    where deals.known_to is null and deals.status = 'won'
    group by deals.organization_id, deals.currency
)

select
    coalesce(performance.organization_id, deals.organization_id) as organization_id,
    coalesce(performance.currency, deals.currency) as currency,
    performance.amount_minor as credited,
    deals.amount_minor as won
from performance
full outer join deals
    on performance.organization_id = deals.organization_id and performance.currency = deals.currency
where
    performance.amount_minor is distinct from deals.amount_minor
    or performance.deals is distinct from deals.deals
