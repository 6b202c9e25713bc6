with lists as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, deal_id
            order by aggregate_version
        ) as changed_at
    from {{ ref('stg_line_item_events') }}
),

believed as (
    select * from lists
    where changed_at is null or changed_at > recorded_at
),

lines as (
    select
        organization_id,
        deal_id,
        cast(entry_key as uuid) as line_id,
        cast(entry_value as json) as line,
        currency,
        recorded_at,
        changed_at
    from believed
    cross join {{ each_entry('believed.data', 'lines') }}
),

-- a line is believed while its list and its deal are
held as (
    select
        lines.*,
        deals.pipeline_id,
        deals.owner_id,
        deals.source_id,
        deals.status,
        deals.created_at,
        deals.closed_at,
        greatest(lines.recorded_at, deals.known_from) as known_from,
        least(lines.changed_at, deals.known_to) as known_to
    from lines
    inner join {{ ref('fct_deals') }} as deals
        on
            lines.organization_id = deals.organization_id
            and lines.deal_id = deals.deal_id
            and (lines.changed_at is null or lines.changed_at > deals.known_from)
            and (deals.known_to is null or deals.known_to > lines.recorded_at)
)

select
    -- ids
    organization_id,
    line_id,
    deal_id,
    cast({{ json_text('line', 'product_id') }} as uuid) as product_id,
    pipeline_id,
    owner_id,
    source_id,

    -- facts
    status,
    cast({{ json_text('line', 'quantity') }} as numeric(18, 6)) as quantity,
    cast({{ json_text('line', 'unit_price_minor') }} as bigint) as unit_price_minor,
    cast({{ json_text('line', 'discount_percent') }} as numeric(5, 2)) as discount_percent,
    cast({{ json_text('line', 'total_minor') }} as bigint) as total_minor,
    currency,

    -- timestamps
    created_at,
    closed_at,
    known_from,
    known_to
from held
