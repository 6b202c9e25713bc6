{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'day'],
        meta={'affected': 'int_affected_days'},
        indexes=[{'columns': ['organization_id', 'day']}],
    )
}}

{% set affected, recounted = ref('int_affected_days'), ref('int_affected_organizations') %}
{% set confirmed = confirmed_batch_number() %}
{% set counted = [
    'organization_id', 'deal_id', 'entry_number', 'pipeline_id', 'stage_id', 'cause', 'entered_at', 'left_at',
    'next_stage_id',
] %}
{% set figures = ['first_entries', 'reentries', 'moved_on', 'moved_back', 'won_from', 'lost_from'] %}

with organizations as (
    select
        organization_id,
        time_zone
    from {{ ref('dim_organizations') }}
    where known_to is null and valid_to is null
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

{% if is_update() %}
-- affected organizations are counted anew; of any other: what the changed deals count for now, less what they counted
-- for when the last build was confirmed
changed_entries as (
    select * from {{ journal_of('fct_stage_entries') }}
    where
        known_to is null
        and change_batch > {{ confirmed }}
        and organization_id not in (select organization_id from {{ recounted }})
),

entries_now as (
    select * from {{ built_rows('fct_stage_entries') }}
    where
        known_to is null
        and (organization_id, deal_id) in (
            select
                organization_id,
                deal_id
            from changed_entries
        )
),

entries_then as (
    select
        {{ counted | join(', ') }}
    from (
        select
            {{ counted | join(', ') }},
            1 as weight
        from entries_now
        union all
        select
            {{ counted | join(', ') }},
            -change_weight as weight
        from changed_entries
    ) as weighed
    group by {{ counted | join(', ') }}
    having sum(weight) > 0
),
{% endif %}

counted_entries as (
    select
        {{ counted | join(', ') }},
        1 as weight
    from {{ ref('fct_stage_entries') }}
    where
        known_to is null
        and {{ is_affected(recounted, ['organization_id']) }}
    {% if is_update() %}
        union all
        select
            {{ counted | join(', ') }},
            1 as weight
        from entries_now
        union all
        select
            {{ counted | join(', ') }},
            -1 as weight
        from entries_then
    {% endif %}
),

entries as (
    select
        entries.organization_id,
        entries.pipeline_id,
        entries.stage_id,
        entries.next_stage_id,
        entries.left_at,
        entries.weight,
        {{ local_day('entries.entered_at', 'organizations.time_zone') }} as entered_on,
        {{ local_day('entries.left_at', 'organizations.time_zone') }} as left_on,
        row_number() over (
            partition by entries.organization_id, entries.deal_id, entries.weight, entries.stage_id
            order by entries.entry_number
        ) as visit_number,
        lead(entries.cause) over (
            partition by entries.organization_id, entries.deal_id, entries.weight order by entries.entry_number
        ) as next_cause
    from counted_entries as entries
    inner join organizations on entries.organization_id = organizations.organization_id
),

entered as (
    select
        organization_id,
        pipeline_id,
        stage_id,
        entered_on as day,
        case when visit_number = 1 then weight else 0 end as first_entries,
        case when visit_number > 1 then weight else 0 end as reentries,
        0 as moved_on,
        0 as moved_back,
        0 as won_from,
        0 as lost_from
    from entries
    where {{ is_affected(affected, ['organization_id', 'entered_on'], columns=['organization_id', 'day']) }}
),

departures as (
    select * from entries
    where
        left_at is not null
        and {{ is_affected(affected, ['organization_id', 'left_on'], columns=['organization_id', 'day']) }}
),

departed as (
    select
        departures.organization_id,
        departures.pipeline_id,
        departures.stage_id,
        departures.left_on as day,
        0 as first_entries,
        0 as reentries,
        case
            when departures.next_cause in ('won', 'lost') then 0
            when following.position > present.position then departures.weight
            else 0
        end as moved_on,
        case
            when departures.next_cause in ('won', 'lost') then 0
            when following.position < present.position then departures.weight
            else 0
        end as moved_back,
        case when departures.next_cause = 'won' then departures.weight else 0 end as won_from,
        case when departures.next_cause = 'lost' then departures.weight else 0 end as lost_from
    from departures
    left join positions as present
        on
            departures.organization_id = present.organization_id
            and departures.stage_id = present.stage_id
            and (present.valid_from is null or present.valid_from <= departures.left_at)
            and (present.valid_to is null or present.valid_to > departures.left_at)
    left join positions as following
        on
            departures.organization_id = following.organization_id
            and departures.next_stage_id = following.stage_id
            and (following.valid_from is null or following.valid_from <= departures.left_at)
            and (following.valid_to is null or following.valid_to > departures.left_at)
),

movements as (
    select * from entered
    union all
    select * from departed
    {% if is_update() -%}
        union all
        -- what this mart said when the last build was confirmed
        select
            organization_id,
            pipeline_id,
            stage_id,
            day,
            {{ figures | join(', ') }}
        from {{ this }}
        where
            {{ is_affected(affected, ['organization_id', 'day']) }}
            and organization_id not in (select organization_id from {{ recounted }})
        union all
        select
            organization_id,
            pipeline_id,
            stage_id,
            day,
            -change_weight * first_entries as first_entries,
            -change_weight * reentries as reentries,
            -change_weight * moved_on as moved_on,
            -change_weight * moved_back as moved_back,
            -change_weight * won_from as won_from,
            -change_weight * lost_from as lost_from
        from {{ journal_of(this.identifier) }}
        where
            change_batch > {{ confirmed }}
            and {{ is_affected(affected, ['organization_id', 'day']) }}
            and organization_id not in (select organization_id from {{ recounted }})
    {%- endif %}
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
having sum({{ figures | join(' + ') }}) > 0
