{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'deal_id'],
        meta={'speed': 'live', 'affected': 'int_touched_deals'},
        indexes=[{'columns': ['organization_id', 'deal_id']}],
    )
}}

{% set keys = ['organization_id', 'deal_id'] %}
{% set all_events, touched_events = ref('stg_deal_events'), ref('int_touched_deal_events') %}

with facts as (
    select
        organization_id,
        deal_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        pipeline_id,
        amount_minor,
        currency,
        owner_id,
        company_id,
        contact_id,
        source_id,
        close_date,
        type = 'deal.created' as is_first,
        type = 'deal.deleted' as is_last,
        type = 'deal.restored' as is_back,
        type = 'deal.created' as sets_pipeline,
        type in ('deal.created', 'deal.amount.changed') as sets_amount,
        type in ('deal.created', 'deal.owner.changed') as sets_owner,
        type in ('deal.created', 'deal.updated') as sets_relations,
        type in ('deal.created', 'deal.close_date.changed') as sets_close_date
    from {{ touched_events if is_update() else all_events }}
    where
        type in (
            'deal.created', 'deal.updated', 'deal.amount.changed', 'deal.owner.changed', 'deal.close_date.changed',
            'deal.deleted', 'deal.restored'
        )
),

{{ bitemporal_states(
    keys=keys,
    groups={
        'sets_pipeline': ['pipeline_id'],
        'sets_amount': ['amount_minor', 'currency'],
        'sets_owner': ['owner_id'],
        'sets_relations': ['company_id', 'contact_id', 'source_id'],
        'sets_close_date': ['close_date'],
    },
    number='version_number',
    is_back=true,
) }}
