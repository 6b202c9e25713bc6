-- What people and teams won is what the deals say, to the cent. After an update: what came is what the deals won more.
{% set configured = ref('int_configured_organizations') %}
{% if not is_whole() %}
{% set confirmed = confirmed_batch_number() %}

with performance as (
    select
        organization_id,
        currency,
        sum(change_weight * won_amount_minor) as amount_minor,
        sum(change_weight * deals_won) as deals
    from {{ journal_of(ref('team_performance_daily').identifier) }}
    where change_batch > {{ confirmed }}
    group by organization_id, currency
),

deals as (
    select
        organization_id,
        currency,
        sum(change_weight * coalesce(closing_amount_minor, 0)) as amount_minor,
        sum(change_weight) as deals
    from {{ journal_of(ref('fct_deals').identifier) }}
    where change_batch > {{ confirmed }} and known_to is null and status = 'won'
    group by organization_id, currency
)

{% else %}

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

{% endif %}

select
    coalesce(performance.organization_id, deals.organization_id) as organization_id,
    coalesce(performance.currency, deals.currency) as currency,
    performance.amount_minor as credited,
    deals.amount_minor as won
from performance
full outer join deals
    on performance.organization_id = deals.organization_id and performance.currency = deals.currency
where
    (
        coalesce(performance.amount_minor, 0) != coalesce(deals.amount_minor, 0)
        or coalesce(performance.deals, 0) != coalesce(deals.deals, 0)
    )
    -- before its own event came, an organization has no days and no figures; then it has them all at once
    {% if not is_whole() %}
        and coalesce(performance.organization_id, deals.organization_id) in (
            select organization_id from {{ ref('dim_organizations') }}
        )
        and coalesce(performance.organization_id, deals.organization_id) not in (
            select organization_id from {{ configured }}
            where aggregate_type = 'organization'
        )
    {% endif %}
