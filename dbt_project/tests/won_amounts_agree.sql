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

-- before its own event came, an organization has no days and no figures
deals as (
    select
        deals.organization_id,
        deals.currency,
        sum(cast(coalesce(deals.closing_amount_minor, 0) as numeric(38, 0))) as amount_minor,
        count(*) as deals
    from {{ ref('fct_deals') }} as deals
    where
        deals.known_to is null
        and deals.status = 'won'
        and deals.organization_id in (select organization_id from {{ ref('dim_organizations') }})
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
    coalesce(performance.amount_minor, 0) != coalesce(deals.amount_minor, 0)
    or coalesce(performance.deals, 0) != coalesce(deals.deals, 0)
