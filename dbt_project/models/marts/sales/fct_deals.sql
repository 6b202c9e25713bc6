{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'deal_id'],
        meta={'speed': 'live', 'affected': 'int_touched_deals'},
        indexes=[{'columns': ['organization_id', 'deal_id']}],
    )
}}

{% set keys = ['organization_id', 'deal_id'] %}
{% set touched = ref('int_touched_deals') %}
{% set states = [
    'pipeline_id', 'created_at', 'created_stage_id', 'creation_owner_id', 'source_id', 'company_id', 'contact_id',
    'owner_id', 'amount_minor', 'currency', 'close_date', 'stage_id', 'stage_entered_at', 'status', 'closed_at',
    'closing_owner_id', 'closing_amount_minor', 'lost_reason_id', 'stage_path', 'stages_entered_at',
] %}

with entries as (
    select * from {{ built_rows('fct_stage_entries') }}
    where {{ is_affected(touched, keys) }}
),

versions as (
    select * from {{ built_rows('fct_deal_versions') }}
    where {{ is_affected(touched, keys) }}
),

-- whatever changes in a deal begins a row of one of the two; where one ends and none begins, the deal was deleted
known_instants as (
    {%- for facts in ['entries', 'versions'] %}
    {%- for instant in ['known_from', 'known_to'] %}
    select
        organization_id,
        deal_id,
        {{ instant }} as known_at
    from {{ facts }}
    where {{ instant }} is not null
    {{ "union" if not (loop.last and facts == 'versions') }}
    {%- endfor %}
    {%- endfor %}
),

known_points as (
    select
        organization_id,
        deal_id,
        known_at,
        lead(known_at) over (partition by organization_id, deal_id order by known_at) as next_known_at
    from known_instants
),

-- the way that the deal went, as one value: how many went it can be counted without a look at its entries
journeys as (
    select
        known_points.organization_id,
        known_points.deal_id,
        known_points.known_at,
        string_agg(
            cast(entries.stage_id as text) || coalesce(':' || cast(entries.lost_reason_id as text), ''),
            ' ' order by entries.entry_number
        ) as stage_path,
        array_agg(entries.entered_at order by entries.entry_number) as stages_entered_at
    from known_points
    inner join entries on {{ known_of('entries', keys) }}
    group by known_points.organization_id, known_points.deal_id, known_points.known_at
),

rows_as_known as (
    select
        known_points.organization_id,
        known_points.deal_id,
        known_points.known_at,
        known_points.next_known_at,
        present.pipeline_id,
        created.entered_at as created_at,
        created.stage_id as created_stage_id,
        at_creation.owner_id as creation_owner_id,
        present.source_id,
        present.company_id,
        present.contact_id,
        present.owner_id,
        present.amount_minor,
        present.currency,
        present.close_date,
        last_entry.stage_id,
        last_entry.entered_at as stage_entered_at,
        last_entry.status,
        last_entry.closed_at,
        at_closing.owner_id as closing_owner_id,
        at_closing.amount_minor as closing_amount_minor,
        last_entry.lost_reason_id,
        journeys.stage_path,
        journeys.stages_entered_at
    from known_points
    inner join journeys
        on
            known_points.organization_id = journeys.organization_id
            and known_points.deal_id = journeys.deal_id
            and known_points.known_at = journeys.known_at
    inner join entries as last_entry
        on
            {{ known_of('last_entry', keys) }}
            and last_entry.left_at is null
    inner join entries as created
        on
            {{ known_of('created', keys) }}
            and created.cause = 'created'
    inner join versions as present
        on
            {{ known_of('present', keys) }}
            and present.valid_to is null
    left join versions as at_creation
        on
            {{ known_of('at_creation', keys) }}
            and at_creation.valid_from <= created.entered_at
            and (at_creation.valid_to is null or at_creation.valid_to > created.entered_at)
    left join versions as at_closing
        on
            {{ known_of('at_closing', keys) }}
            and at_closing.valid_from <= last_entry.closed_at
            and (at_closing.valid_to is null or at_closing.valid_to > last_entry.closed_at)
)

{{- known_changes(keys, states) }}
