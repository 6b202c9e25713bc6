-- At any instant of knowledge a deal is in one stage and in one state at a time, and its present stage is that of its
-- last entry.
with entries as (
    select * from {{ built_rows('fct_stage_entries') }}
),

versions as (
    select * from {{ built_rows('fct_deal_versions') }}
),

deals as (
    select * from {{ built_rows('fct_deals') }}
),

overlapping_entries as (
    select
        'in two stages at a time' as problem,
        one.deal_id
    from entries as one
    inner join entries as other
        on
            one.organization_id = other.organization_id
            and one.deal_id = other.deal_id
            and one.entry_number < other.entry_number
            and one.known_from < coalesce(other.known_to, 'infinity')
            and other.known_from < coalesce(one.known_to, 'infinity')
            and coalesce(one.left_at, 'infinity') > other.entered_at
),

overlapping_versions as (
    select
        'in two states at a time' as problem,
        one.deal_id
    from versions as one
    inner join versions as other
        on
            one.organization_id = other.organization_id
            and one.deal_id = other.deal_id
            and one.version_number < other.version_number
            and one.known_from < coalesce(other.known_to, 'infinity')
            and other.known_from < coalesce(one.known_to, 'infinity')
            and coalesce(one.valid_to, 'infinity') > other.valid_from
),

present_deals as (
    select * from deals
    where known_to is null
),

present_entries as (
    select * from entries
    where left_at is null and known_to is null
),

other_stage as (
    select
        'present stage is not that of the last entry' as problem,
        coalesce(present_deals.deal_id, present_entries.deal_id) as deal_id
    from present_deals
    full outer join present_entries
        on
            present_deals.organization_id = present_entries.organization_id
            and present_deals.deal_id = present_entries.deal_id
    where
        present_deals.stage_id is distinct from present_entries.stage_id
        or present_deals.stage_entered_at is distinct from present_entries.entered_at
        or present_deals.stages_entered_at[present_entries.entry_number] is distinct from present_entries.entered_at
)

select * from overlapping_entries
union all
select * from overlapping_versions
union all
select * from other_stage
