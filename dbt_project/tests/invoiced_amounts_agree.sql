-- What an invoice charges for seats is what its subscription cost with as many seats, by the month or by the year; a
-- year's price is kept as a twelfth, rounded.
with invoices as (
    select * from {{ ref('fct_invoices') }}
    where known_to is null and seats > 0 and seats_minor > 0 and subscription_id is not null
),

prices as (
    select distinct
        organization_id,
        subscription_id,
        seats,
        monthly_minor
    from {{ ref('stg_subscription_events') }}
),

-- its own events may come a moment later than those of its invoices; the test of seats finds those that never come
compared as (
    select
        invoices.organization_id,
        invoices.invoice_id,
        invoices.seats_minor,
        min(
            least(
                abs(invoices.seats_minor - prices.monthly_minor),
                greatest(abs(invoices.seats_minor - 12 * prices.monthly_minor) - 6, 0)
            )
        ) as difference
    from invoices
    inner join prices
        on
            invoices.organization_id = prices.organization_id
            and invoices.subscription_id = prices.subscription_id
            and invoices.seats = prices.seats
    group by invoices.organization_id, invoices.invoice_id, invoices.seats_minor
)

select * from compared
where difference > 0
