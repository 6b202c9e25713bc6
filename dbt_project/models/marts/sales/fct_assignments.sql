{% set keys = ['organization_id', 'deal_id'] %}
{% set states = ['created_at', 'assigned_at', 'owner_id', 'pipeline_id', 'source_id'] %}

with versions as (
    select * from {{ ref('fct_deal_versions') }}
),

-- what was believed changes only where a version of the deal became known; where one ends alone, the deal was deleted
known_instants as (
    select
        organization_id,
        deal_id,
        known_from as known_at
    from versions
    union
    select
        organization_id,
        deal_id,
        known_to as known_at
    from versions
    where known_to is not null
),

known_points as (
    select
        organization_id,
        deal_id,
        known_at,
        lead(known_at) over (partition by organization_id, deal_id order by known_at) as next_known_at
    from known_instants
),

numbered as (
    select
        known_points.organization_id,
        known_points.deal_id,
        known_points.known_at,
        known_points.next_known_at,
        present.valid_from,
        present.owner_id,
        present.pipeline_id,
        present.source_id,
        row_number() over known as place,
        row_number() over owned as owned_place
    from known_points
    inner join versions as present
        on {{ known_of('present', keys) }}
    window
        known as (
            partition by known_points.organization_id, known_points.deal_id, known_points.known_at
            order by present.valid_from
        ),
        owned as (
            partition by
                known_points.organization_id,
                known_points.deal_id,
                known_points.known_at,
                (case when present.owner_id is null then 1 else 0 end)
            order by present.valid_from
        )
),

rows_as_known as (
    select
        created.organization_id,
        created.deal_id,
        created.known_at,
        created.next_known_at,
        created.valid_from as created_at,
        assigned.valid_from as assigned_at,
        assigned.owner_id,
        created.pipeline_id,
        created.source_id
    from numbered as created
    left join numbered as assigned
        on
            created.organization_id = assigned.organization_id
            and created.deal_id = assigned.deal_id
            and created.known_at = assigned.known_at
            and assigned.owner_id is not null
            and assigned.owned_place = 1
    where created.place = 1
)

{{- known_changes(keys, states) }}
