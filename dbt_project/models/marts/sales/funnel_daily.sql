with days as (
    {{ days_by_utc_day() }}
),

-- the position a stage had at the time; before a stage's first version, the first
positions as (
    select
        organization_id,
        stage_id,
        position,
        case when lag(valid_from) over stage is not null then valid_from end as valid_from,
        valid_to
    from {{ ref('dim_stages') }}
    where known_to is null
    window stage as (partition by organization_id, stage_id order by valid_from)
),

entries as (
    select
        entries.organization_id,
        entries.pipeline_id,
        entries.stage_id,
        entries.next_stage_id,
        entries.left_at,
        entered_days.day as entered_on,
        left_days.day as left_on,
        row_number() over (
            partition by entries.organization_id, entries.deal_id, entries.stage_id order by entries.entry_number
        ) as visit_number,
        lead(entries.cause) over (
            partition by entries.organization_id, entries.deal_id order by entries.entry_number
        ) as next_cause
    from {{ ref('fct_stage_entries') }} as entries
    inner join days as entered_days on {{ on_local_day('entries', 'entries.entered_at', 'entered_days') }}
    left join days as left_days on {{ on_local_day('entries', 'entries.left_at', 'left_days') }}
    where entries.known_to is null
),

entered as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        entered_on as day,
        case when visit_number = 1 then 1 else 0 end as first_entries,
        case when visit_number > 1 then 1 else 0 end as reentries,
        0 as moved_on,
        0 as moved_back,
        0 as won_from,
        0 as lost_from
    from entries
),

departed as (
    select
        entries.organization_id,
        entries.pipeline_id,
        entries.stage_id,
        entries.left_on as day,
        0 as first_entries,
        0 as reentries,
        case
            when entries.next_cause in ('won', 'lost') then 0
            when following.position > present.position then 1
            else 0
        end as moved_on,
        case
            when entries.next_cause in ('won', 'lost') then 0
            when following.position < present.position then 1
            else 0
        end as moved_back,
        case when entries.next_cause = 'won' then 1 else 0 end as won_from,
        case when entries.next_cause = 'lost' then 1 else 0 end as lost_from
    from entries
    left join positions as present
        on
            entries.organization_id = present.organization_id
            and entries.stage_id = present.stage_id
            and (present.valid_from is null or present.valid_from <= entries.left_at)
            and (present.valid_to is null or present.valid_to > entries.left_at)
    left join positions as following
        on
            entries.organization_id = following.organization_id
            and entries.next_stage_id = following.stage_id
            and (following.valid_from is null or following.valid_from <= entries.left_at)
            and (following.valid_to is null or following.valid_to > entries.left_at)
    where entries.left_at is not null
),

movements as (
    select * from entered
    union all
    select * from departed
)

select
    organization_id,
    pipeline_id,
    stage_id,
    day,
    cast(sum(first_entries) as bigint) as first_entries,
    cast(sum(reentries) as bigint) as reentries,
    cast(sum(moved_on) as bigint) as moved_on,
    cast(sum(moved_back) as bigint) as moved_back,
    cast(sum(won_from) as bigint) as won_from,
    cast(sum(lost_from) as bigint) as lost_from
from movements
group by organization_id, pipeline_id, stage_id, day
having sum(first_entries + reentries + moved_on + moved_back + won_from + lost_from) > 0
