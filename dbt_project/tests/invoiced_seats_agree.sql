-- An invoice for a whole period is for as many seats as its subscription had at some time.
with invoices as (
    select * from {{ ref('fct_invoices') }}
    where known_to is null and seats > 0 and subscription_id is not null
),

subscribed as (
    select distinct
        organization_id,
        subscription_id,
        seats
    from {{ ref('stg_subscription_events') }}
),

-- its own events may come a moment later than those of its invoices
known as (
    select distinct
        organization_id,
        subscription_id
    from subscribed
)

select
    invoices.organization_id,
    invoices.invoice_id,
    invoices.seats
from invoices
inner join known
    on invoices.organization_id = known.organization_id and invoices.subscription_id = known.subscription_id
left join subscribed
    on
        invoices.organization_id = subscribed.organization_id
        and invoices.subscription_id = subscribed.subscription_id
        and invoices.seats = subscribed.seats
where subscribed.seats is null
