{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'day'],
        meta={'affected': 'int_unfrozen_days'},
        indexes=[{'columns': ['organization_id', 'day']}],
    )
}}

with days as (
    select * from {{ ref('int_unfrozen_days') }}
),

spans as (
    select
        days.organization_id,
        organizations.time_zone,
        min(days.day) as first_day,
        max(days.day) as last_day,
        min(days.ends_at) as first_end,
        max(days.ends_at) as last_end
    from days
    inner join {{ ref('dim_organizations') }} as organizations
        on
            days.organization_id = organizations.organization_id
            and organizations.known_to is null
            and organizations.valid_to is null
    group by days.organization_id, organizations.time_zone
),

-- visits to an open stage, with the instants between which they held and were known
stays as (
    select
        entries.organization_id,
        entries.deal_id,
        entries.pipeline_id,
        entries.stage_id,
        entries.entered_at,
        entries.left_at,
        entries.known_from,
        entries.known_to,
        spans.time_zone,
        spans.first_day,
        spans.last_day,
        greatest(entries.entered_at, entries.known_from, spans.first_end - interval '1 day') as first_at,
        least(
            coalesce(entries.left_at, spans.last_end), coalesce(entries.known_to, spans.last_end), spans.last_end
        ) as last_at
    from {{ ref('fct_stage_entries') }} as entries
    inner join spans on entries.organization_id = spans.organization_id
    where
        entries.cause not in ('won', 'lost')
        and entries.entered_at < spans.last_end
        and entries.known_from <= spans.last_end
        and (entries.left_at is null or entries.left_at >= spans.first_end)
        and (entries.known_to is null or entries.known_to > spans.first_end)
),

stay_days as (
    select
        stays.*,
        candidates.day
    from (
        select
            *,
            greatest({{ local_day('first_at', 'time_zone') }}, first_day) as candidate_from,
            least({{ local_day('last_at', 'time_zone') }}, last_day) as candidate_to
        from stays
        where first_at <= last_at
    ) as stays
    cross join {{ each_day('stays.candidate_from', 'stays.candidate_to', alias='candidates') }}
),

standing as (
    select
        stay_days.organization_id,
        stay_days.deal_id,
        stay_days.pipeline_id,
        stay_days.stage_id,
        days.day,
        days.ends_at
    from stay_days
    inner join days on stay_days.organization_id = days.organization_id and stay_days.day = days.day
    where
        stay_days.entered_at < days.ends_at
        and (stay_days.left_at is null or stay_days.left_at >= days.ends_at)
        and stay_days.known_from <= days.ends_at
        and (stay_days.known_to is null or stay_days.known_to > days.ends_at)
)

select
    standing.organization_id,
    standing.pipeline_id,
    standing.stage_id,
    standing.day,
    count(*) as open_deals,
    cast(coalesce(sum(versions.amount_minor), 0) as bigint) as open_amount_minor,
    versions.currency
from standing
inner join {{ ref('fct_deal_versions') }} as versions
    on
        standing.organization_id = versions.organization_id
        and standing.deal_id = versions.deal_id
        and versions.valid_from < standing.ends_at
        and (versions.valid_to is null or versions.valid_to >= standing.ends_at)
        and versions.known_from <= standing.ends_at
        and (versions.known_to is null or versions.known_to > standing.ends_at)
group by standing.organization_id, standing.pipeline_id, standing.stage_id, standing.day, versions.currency
