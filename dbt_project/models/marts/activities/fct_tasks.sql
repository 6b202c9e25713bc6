with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, task_id
            order by aggregate_version
        ) as changed_at,
        min(occurred_at) over (partition by organization_id, task_id) as created_at,
        max(case when type in ('task.completed', 'task.reopened') then aggregate_version end) over (
            partition by organization_id, task_id
            order by aggregate_version
        ) as completion_version
    from {{ ref('stg_task_events') }}
),

completions as (
    select
        organization_id,
        task_id,
        aggregate_version,
        occurred_at as completed_at
    from {{ ref('stg_task_events') }}
    where type = 'task.completed'
)

select
    -- ids
    states.organization_id,
    states.task_id,
    states.aggregate_version as version_number,
    states.assignee_id,
    states.deal_id,
    states.contact_id,
    states.company_id,

    -- facts
    states.is_recurring,

    -- timestamps
    states.created_at,
    states.due_at,
    completions.completed_at,
    states.recorded_at as known_from,
    states.changed_at as known_to
from states
left join completions
    on
        states.organization_id = completions.organization_id
        and states.task_id = completions.task_id
        and states.completion_version = completions.aggregate_version
where
    states.type <> 'task.deleted'
    and (states.changed_at is null or states.changed_at > states.recorded_at)
