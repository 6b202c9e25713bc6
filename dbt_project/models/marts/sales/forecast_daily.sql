with all_days as (
    {{ days_by_utc_day() }}
),

spans as (
    {{ finished_days() }}
),

-- a deal's closing, and its amount then, from when they were known until they were known otherwise
closings as (
    select
        deals.organization_id,
        deals.deal_id,
        deals.pipeline_id,
        deals.status,
        deals.closed_at,
        deals.known_from,
        deals.known_to,
        spans.first_start
    from {{ ref('fct_deals') }} as deals
    inner join spans on deals.organization_id = spans.organization_id
    where
        deals.status in ('won', 'lost')
        and deals.closed_at < spans.last_end
        and deals.known_from < spans.last_end
),

wins as (
    select
        closings.organization_id,
        closings.pipeline_id,
        versions.currency,
        cast(date_trunc('month', closed_on.day) as date) as month,
        coalesce(versions.amount_minor, 0) as amount_minor,
        greatest(closings.closed_at, closings.known_from, versions.known_from, closings.first_start) as begins_at,
        least(closings.known_to, versions.known_to) as ends_at
    from closings
    inner join {{ ref('fct_deal_versions') }} as versions
        on
            closings.organization_id = versions.organization_id
            and closings.deal_id = versions.deal_id
            and versions.valid_from <= closings.closed_at
            and (versions.valid_to is null or versions.valid_to > closings.closed_at)
    inner join all_days as closed_on on {{ on_local_day('closings', 'closings.closed_at', 'closed_on') }}
    where closings.status = 'won'
),

-- open deals with a close date: where they stood, with which amount, from the one instant until just before the other
standings as (
    select
        stays.organization_id,
        stays.deal_id,
        stays.pipeline_id,
        stays.stage_id,
        versions.currency,
        cast(date_trunc('month', versions.close_date) as date) as month,
        coalesce(versions.amount_minor, 0) as amount_minor,
        greatest(
            stays.entered_at, stays.known_from, versions.valid_from, versions.known_from, spans.first_start
        ) as begins_at,
        least(stays.left_at, stays.known_to, versions.valid_to, versions.known_to) as ends_at
    from {{ ref('fct_stage_entries') }} as stays
    inner join spans on stays.organization_id = spans.organization_id
    inner join {{ ref('fct_deal_versions') }} as versions
        on
            stays.organization_id = versions.organization_id
            and stays.deal_id = versions.deal_id
    where
        stays.status = 'open'
        and versions.close_date is not null
        and stays.entered_at < spans.last_end
        and stays.known_from < spans.last_end
),

-- the same with the score that was the newest one then, as far as they have any, and their amounts at it
scored as (
    select
        standings.organization_id,
        standings.pipeline_id,
        standings.stage_id,
        standings.currency,
        standings.month,
        standings.amount_minor,
        sign(cast(standings.amount_minor as numeric(38, 0))) * {{ whole_quotient(
            '2 * abs(standings.amount_minor) * cast(round(scores.score * 1000000) as numeric(38, 0)) + 1000000', '2000000'
        ) }} as expected_minor,
        greatest(standings.begins_at, scores.known_from) as begins_at,
        least(standings.ends_at, scores.known_to) as ends_at
    from standings
    inner join {{ ref('fct_deal_scores') }} as scores
        on
            standings.organization_id = scores.organization_id
            and standings.deal_id = scores.deal_id
),

-- how often deals that had visited a stage were won, of those closed in the 365 days before
histories as (
    select distinct
        closings.organization_id,
        closings.deal_id,
        entries.stage_id,
        closings.status,
        greatest(closings.closed_at + interval '1 microsecond', closings.known_from, closings.first_start)
            as begins_at,
        least(closings.closed_at + interval '8760 hours' + interval '1 microsecond', closings.known_to) as ends_at
    from closings
    inner join {{ ref('fct_stage_entries') }} as entries
        on
            closings.organization_id = entries.organization_id
            and closings.deal_id = entries.deal_id
            and entries.known_from <= closings.known_from
            and (entries.known_to is null or entries.known_to > closings.known_from)
),

changes as (
    {% for name, begins in [('begins_at', 1), ('ends_at', -1)] %}
    select
        'won' as what,
        organization_id,
        pipeline_id,
        cast(null as uuid) as stage_id,
        currency,
        month,
        {{ name }} as instant,
        {{ begins }} as deals,
        {{ begins }} * amount_minor as amount_minor
    from wins
    where {{ name }} is not null and (ends_at is null or ends_at > begins_at)
    union all
    {% for what, pieces, amount in [
        ('due', 'standings', 'amount_minor'), ('scored', 'scored', 'amount_minor'), ('expected', 'scored', 'expected_minor')
    ] %}
    select
        '{{ what }}' as what,
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        month,
        {{ name }} as instant,
        {{ begins }} as deals,
        {{ begins }} * {{ amount }} as amount_minor
    from {{ pieces }}
    where {{ name }} is not null and (ends_at is null or ends_at > begins_at)
    union all
    {% endfor %}
    select
        'history' as what,
        organization_id,
        cast(null as uuid) as pipeline_id,
        stage_id,
        cast(null as text) as currency,
        cast(null as date) as month,
        {{ name }} as instant,
        {{ begins }} as deals,
        case status when 'won' then {{ begins }} else 0 end as amount_minor
    from histories
    where {{ name }} is not null and (ends_at is null or ends_at > begins_at)
    {{ "union all" if not loop.last }}
    {% endfor %}
),

-- the first day at whose end a change shows
daily_changes as (
    select
        changes.what,
        changes.organization_id,
        changes.pipeline_id,
        changes.stage_id,
        changes.currency,
        changes.month,
        all_days.day,
        sum(changes.deals) as deals,
        sum(cast(changes.amount_minor as numeric(38, 0))) as amount_minor
    from changes
    inner join all_days on {{ on_local_day('changes', 'changes.instant', 'all_days') }}
    group by
        changes.what, changes.organization_id, changes.pipeline_id, changes.stage_id, changes.currency, changes.month,
        all_days.day
),

totals as (
    select
        what,
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        month,
        day,
        lead(day) over line as next_day,
        cast(sum(deals) over line as bigint) as deals,
        cast(sum(amount_minor) over line as numeric(38, 0)) as amount_minor
    from daily_changes
    window line as (
        partition by what, organization_id, pipeline_id, stage_id, currency, month order by day
    )
),

daily as (
    select
        totals.what,
        totals.organization_id,
        totals.pipeline_id,
        totals.stage_id,
        totals.currency,
        totals.month,
        days.day,
        totals.deals,
        totals.amount_minor
    from totals
    inner join spans on totals.organization_id = spans.organization_id
    cross join {{ each_day('totals.day', 'coalesce(' ~ add_days('totals.next_day', -1) ~ ', spans.last_day)') }}
    where totals.deals > 0
),

-- of a month that was over a year before there is nothing to forecast any more
months as (
    select * from daily
    where what = 'history' or month > {{ add_days('day', -366) }}
),

-- of each stage, what is due, and what of it has a score
due as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        currency,
        month,
        day,
        sum(case what when 'due' then deals else 0 end) as due_deals,
        sum(case what when 'due' then amount_minor else 0 end) as due_minor,
        sum(case what when 'scored' then deals else 0 end) as scored_deals,
        sum(case what when 'scored' then amount_minor else 0 end) as scored_minor,
        sum(case what when 'expected' then amount_minor else 0 end) as expected_minor
    from months
    where what in ('due', 'scored', 'expected')
    group by organization_id, pipeline_id, stage_id, currency, month, day
),

weighted as (
    select
        due.*,
        case
            when history.deals is null then 0
            else
                sign(due.due_minor) * {{ whole_quotient(
                    '2 * abs(due.due_minor) * history.amount_minor + history.deals', '2 * history.deals'
                ) }}
        end as weighted_minor,
        case
            when history.deals is null then 0
            else
                sign((due.due_minor - due.scored_minor)) * {{ whole_quotient(
                    '2 * abs((due.due_minor - due.scored_minor)) * history.amount_minor + history.deals', '2 * history.deals'
                ) }}
        end as unscored_weighted_minor
    from due
    left join months as history
        on
            due.organization_id = history.organization_id
            and due.stage_id = history.stage_id
            and due.day = history.day
            and history.what = 'history'
),

issued as (
    select
        organization_id,
        pipeline_id,
        currency,
        month,
        day,
        deals as committed_deals,
        amount_minor as committed_minor,
        0 as due_deals,
        0 as due_minor,
        0 as weighted_minor,
        0 as scored_deals,
        0 as scored_minor,
        0 as expected_minor,
        0 as unscored_weighted_minor
    from months
    where what = 'won'
    union all
    select
        organization_id,
        pipeline_id,
        currency,
        month,
        day,
        0 as committed_deals,
        0 as committed_minor,
        due_deals,
        due_minor,
        weighted_minor,
        scored_deals,
        scored_minor,
        expected_minor,
        unscored_weighted_minor
    from weighted
),

summed as (
    select
        organization_id,
        pipeline_id,
        day,
        month,
        currency,
        sum(committed_deals) as committed_deals,
        sum(committed_minor) as committed_minor,
        sum(due_deals) as due_deals,
        sum(due_minor) as due_minor,
        sum(weighted_minor) as weighted_minor,
        sum(scored_deals) as scored_deals,
        sum(scored_minor) as scored_minor,
        sum(expected_minor) as expected_minor,
        sum(unscored_weighted_minor) as unscored_weighted_minor
    from issued
    group by organization_id, pipeline_id, day, month, currency
)

select
    organization_id,
    pipeline_id,
    day,
    month,
    currency,
    cast(committed_deals as bigint) as committed_deals,
    cast(committed_minor as numeric(38, 0)) as committed_minor,
    cast(due_deals as bigint) as due_deals,
    cast(committed_minor + weighted_minor as numeric(38, 0)) as forecast_minor,
    cast(committed_minor + due_minor as numeric(38, 0)) as best_case_minor,
    cast(scored_deals as bigint) as scored_deals,
    cast(scored_minor as numeric(38, 0)) as scored_minor,
    cast(due_deals - scored_deals as bigint) as unscored_deals,
    cast(due_minor - scored_minor as numeric(38, 0)) as unscored_minor,
    -- where nothing had a score there is no such forecast
    cast(case when scored_deals > 0 then expected_minor end as numeric(38, 0)) as expected_by_score_minor,
    cast(
        case when scored_deals > 0 then committed_minor + expected_minor + unscored_weighted_minor end
        as numeric(38, 0)
    ) as score_forecast_minor
from summed
