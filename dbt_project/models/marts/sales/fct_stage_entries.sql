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
        event_id,
        occurred_at,
        recorded_at,
        aggregate_version,
        actor,
        actor_id,
        pipeline_id,
        to_stage_id as stage_id,
        lost_reason_id,
        case type
            when 'deal.created' then 'created'
            when 'deal.stage.changed' then 'moved'
            when 'deal.closed' then outcome
            when 'deal.reopened' then 'reopened'
        end as cause,
        type = 'deal.created' as is_first,
        type = 'deal.deleted' as is_last
    from {{ touched_events if is_update() else all_events }}
    where type in ('deal.created', 'deal.stage.changed', 'deal.closed', 'deal.reopened', 'deal.deleted')
),

{{ facts_as_known(
    keys,
    ['event_id', 'actor', 'actor_id', 'pipeline_id', 'stage_id', 'lost_reason_id', 'cause'],
) }},

rows_as_known as (
    select
        organization_id,
        deal_id,
        next_known_at,
        is_restated,
        since,
        lead(since) over deal as ended_since,
        fact_number as entry_number,
        event_id,
        pipeline_id,
        stage_id,
        lag(stage_id) over deal as from_stage_id,
        cause,
        actor,
        actor_id,
        occurred_at as entered_at,
        lead(occurred_at) over deal as left_at,
        lead(stage_id) over deal as next_stage_id,
        lost_reason_id
    from known_facts
    window deal as (partition by organization_id, deal_id, known_at order by fact_number)
)

{{- known_intervals(
    keys,
    [
        'entry_number', 'event_id', 'pipeline_id', 'stage_id', 'from_stage_id', 'cause', 'actor', 'actor_id',
        'entered_at', 'lost_reason_id',
    ],
    endings=['left_at', 'next_stage_id'],
) }}
