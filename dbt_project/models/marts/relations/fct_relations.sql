with events as (
    select
        *,
        type in ('contact.merged', 'company.merged', 'contact.unmerged', 'company.unmerged') as is_of_merge
    from {{ ref('stg_relation_events') }}
),

states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, record_id
            order by aggregate_version
        ) as changed_at,
        min(occurred_at) over (partition by organization_id, record_id) as created_at,
        -- an event of a merge says nothing of the record's own, which stays as it was
        max(case when not is_of_merge then aggregate_version end) over (
            partition by organization_id, record_id
            order by aggregate_version
        ) as told_version,
        max(case when is_of_merge then aggregate_version end) over (
            partition by organization_id, record_id
            order by aggregate_version
        ) as merge_version
    from events
)

select
    -- ids
    states.organization_id,
    states.record_id,
    states.aggregate_version as version_number,
    told.owner_id,
    told.source_id,
    merged.survivor_id,

    -- facts
    states.record_kind,
    case when merged.survivor_id is null then 'single' else 'merged' end as fate,

    -- timestamps
    states.created_at,
    states.recorded_at as known_from,
    states.changed_at as known_to
from states
left join events as told
    on
        states.organization_id = told.organization_id
        and states.record_id = told.record_id
        and states.told_version = told.aggregate_version
left join events as merged
    on
        states.organization_id = merged.organization_id
        and states.record_id = merged.record_id
        and states.merge_version = merged.aggregate_version
        and merged.type in ('contact.merged', 'company.merged')
where
    states.type not in ('contact.deleted', 'company.deleted')
    and (states.changed_at is null or states.changed_at > states.recorded_at)
