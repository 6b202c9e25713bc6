-- An invoice charges use as it was told for its period: no draft and no day of an account more, and none less.
with invoices as (
    select
        stated.organization_id,
        stated.invoice_id,
        stated.subscription_id,
        stated.ai_drafts,
        stated.account_days,
        stated.usage_from,
        stated.usage_to
    from {{ ref('stg_invoice_events') }} as stated
    inner join {{ ref('fct_invoices') }} as newest
        on
            stated.organization_id = newest.organization_id
            and stated.invoice_id = newest.invoice_id
            and stated.aggregate_version = newest.version_number
    where
        newest.known_to is null
        and newest.status in ('open', 'paid', 'uncollectible')
        and stated.usage_to is not null
        and stated.subscription_id is not null
),

told as (
    select
        invoices.organization_id,
        invoices.invoice_id,
        invoices.ai_drafts,
        invoices.account_days,
        coalesce(sum(case when used.meter = 'ai_drafts_beyond' then used.quantity end), 0) as ai_drafts_told,
        coalesce(sum(case when used.meter = 'account_days_beyond' then used.quantity end), 0) as account_days_told
    from invoices
    left join {{ ref('fct_usage') }} as used
        on
            invoices.organization_id = used.organization_id
            and invoices.subscription_id = used.subscription_id
            and invoices.usage_from <= used.stamped_at
            and invoices.usage_to > used.stamped_at
    group by invoices.organization_id, invoices.invoice_id, invoices.ai_drafts, invoices.account_days
)

select * from told
where ai_drafts <> ai_drafts_told or account_days <> account_days_told
