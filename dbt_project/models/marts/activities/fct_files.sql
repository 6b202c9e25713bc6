with states as (
    select
        *,
        lead(recorded_at) over (
            partition by organization_id, file_id
            order by aggregate_version
        ) as changed_at,
        min(occurred_at) over (partition by organization_id, file_id) as attached_at
    from {{ ref('stg_file_events') }}
)

select
    -- ids
    organization_id,
    file_id,
    aggregate_version as version_number,
    uploaded_by,

    -- facts
    case
        when message_id is not null then 'message'
        when activity_id is not null then 'activity'
        when deal_id is not null then 'deal'
        when contact_id is not null then 'contact'
        else 'company'
    end as attached_to,
    size_bytes,

    -- timestamps
    attached_at,
    recorded_at as known_from,
    changed_at as known_to
from states
where
    type <> 'file.deleted'
    and (changed_at is null or changed_at > recorded_at)
