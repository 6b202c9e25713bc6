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
        case type when 'deal.closed' then outcome else 'open' end as status,
        type = 'deal.created' as is_first,
        type = 'deal.deleted' as is_last,
        type = 'deal.restored' as is_back
    from {{ touched_events if is_update() else all_events }}
    where
        type in (
            'deal.created', 'deal.stage.changed', 'deal.closed', 'deal.reopened', 'deal.deleted', 'deal.restored'
        )
),

{{ facts_as_known(
    keys,
    ['event_id', 'actor', 'actor_id', 'pipeline_id', 'stage_id', 'lost_reason_id', 'status'],
    is_back=true,
) }},

steps as (
    select
        *,
        lag(stage_id) over deal as from_stage_id
    from known_facts
    window deal as (partition by organization_id, deal_id, known_at order by fact_number)
),

-- staying is no entry, in whatever order it was learned
entries as (
    select
        *,
        cast(row_number() over deal as integer) as entry_number,
        lag(status) over deal as status_before
    from steps
    where fact_number = 1 or stage_id is distinct from from_stage_id
    window deal as (partition by organization_id, deal_id, known_at order by fact_number)
),

-- a deal is won or lost by its first entry of that outcome since it had another; moving on among won stages is a visit
turns as (
    select
        *,
        max(case when status is distinct from status_before then entry_number end) over deal as turn_number
    from entries
    window deal as (
        partition by organization_id, deal_id, known_at order by entry_number rows unbounded preceding
    )
),

rows_as_known as (
    select
        organization_id,
        deal_id,
        next_known_at,
        is_restated,
        since,
        lead(since) over deal as ended_since,
        entry_number,
        event_id,
        pipeline_id,
        stage_id,
        from_stage_id,
        case
            when entry_number = 1 then 'created'
            when status = status_before then 'moved'
            when status = 'open' then 'reopened'
            else status
        end as cause,
        status,
        actor,
        actor_id,
        occurred_at as entered_at,
        lead(occurred_at) over deal as left_at,
        lead(stage_id) over deal as next_stage_id,
        case when status != 'open' then nth_value(occurred_at, turn_number) over deal end as closed_at,
        case when status = 'lost' then nth_value(lost_reason_id, turn_number) over deal end as lost_reason_id
    from turns
    window deal as (partition by organization_id, deal_id, known_at order by entry_number)
)

{{- known_intervals(
    keys,
    [
        'entry_number', 'event_id', 'pipeline_id', 'stage_id', 'from_stage_id', 'cause', 'status', 'actor',
        'actor_id', 'entered_at', 'closed_at', 'lost_reason_id',
    ],
    endings=['left_at', 'next_stage_id'],
) }}
