with all_days as (
    {{ days_by_utc_day() }}
),

spans as (
    {{ finished_days() }}
),

-- visits to an open stage
stays as (
    select
        entries.*,
        spans.first_end,
        spans.last_end
    from {{ ref('fct_stage_entries') }} as entries
    inner join spans on entries.organization_id = spans.organization_id
    where
        entries.status = 'open'
        and entries.entered_at < spans.last_end
        and entries.known_from <= spans.last_end
        and (entries.left_at is null or entries.left_at >= spans.first_end)
        and (entries.known_to is null or entries.known_to > spans.first_end)
),

-- a deal stands in a stage with an amount at every day's end from the one instant until just before the other; what
-- begins or ends at a day's very end was not yet so, or still so, then
standings as (
    select
        stays.organization_id,
        stays.pipeline_id,
        stays.stage_id,
        versions.currency,
        coalesce(versions.amount_minor, 0) as amount_minor,
        stays.last_end,
        greatest(
            greatest(stays.entered_at, versions.valid_from) + interval '1 microsecond',
            stays.known_from,
            versions.known_from,
            stays.first_end
        ) as begins_at,
        least(
            least(stays.left_at, versions.valid_to) + interval '1 microsecond', stays.known_to, versions.known_to
        ) as ends_at
    from stays
    inner join {{ ref('fct_deal_versions') }} as versions
        on
            stays.organization_id = versions.organization_id
            and stays.deal_id = versions.deal_id
            and (versions.valid_to is null or versions.valid_to >= stays.first_end)
            and (versions.known_to is null or versions.known_to > stays.first_end)
),

changes as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        begins_at as instant,
        1 as deals,
        amount_minor
    from standings
    where
        begins_at <= last_end
        and (ends_at is null or ends_at > begins_at)
    union all
    select
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        ends_at as instant,
        -1 as deals,
        -amount_minor as amount_minor
    from standings
    where
        ends_at <= last_end
        and ends_at > begins_at
),

-- the first day at whose end a change shows
shown as (
    select
        changes.*,
        all_days.day
    from changes
    inner join all_days on {{ on_local_day('changes', "(changes.instant - interval '1 microsecond')", 'all_days') }}
),

daily_changes as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        day,
        sum(deals) as deals,
        sum(cast(amount_minor as numeric(38, 0))) as amount_minor
    from shown
    group by organization_id, pipeline_id, stage_id, currency, day
    having sum(deals) != 0 or sum(amount_minor) != 0
),

totals as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        day,
        lead(day) over stage as next_day,
        cast(sum(deals) over stage as bigint) as open_deals,
        cast(sum(amount_minor) over stage as numeric(38, 0)) as open_amount_minor
    from daily_changes
    window stage as (partition by organization_id, pipeline_id, stage_id, currency order by day)
)

select
    totals.organization_id,
    totals.pipeline_id,
    totals.stage_id,
    days.day,
    totals.open_deals,
    totals.open_amount_minor,
    totals.currency
from totals
inner join spans on totals.organization_id = spans.organization_id
cross join {{ each_day('totals.day', 'coalesce(' ~ add_days('totals.next_day', -1) ~ ', spans.last_day)') }}
where totals.open_deals > 0
