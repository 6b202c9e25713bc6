with runs as (select * from {{ ref('stg_rule_run_events') }}),

entries as (select * from {{ ref('stg_rule_deal_events') }}),

rules as (
    select
        organization_id,
        rule_id,
        owner_id
    from {{ ref('stg_rule_events') }}
    where type = 'automation.rule.created'
),

firings as (
    select
        executed.organization_id,
        executed.firing_id,
        executed.rule_id,
        executed.rule_version,
        executed.deal_id,
        executed.from_stage_id,
        executed.to_stage_id,
        executed.mode,
        executed.outcome,
        executed.recorded_at,
        triggered.trigger_kind,
        triggered.score,
        triggered.occurred_at as fired_at
    from runs as executed
    inner join runs as triggered
        on
            executed.organization_id = triggered.organization_id
            and executed.firing_id = triggered.firing_id
            and triggered.type = 'automation.rule.triggered'
    where executed.type = 'trigger.executed'
),

-- a person brought the deal back to where it was, within two weeks
reversals as (
    select
        firings.organization_id,
        firings.firing_id,
        min(entries.recorded_at) as recorded_at,
        min(entries.occurred_at) as reversed_at
    from firings
    inner join entries
        on
            firings.organization_id = entries.organization_id
            and firings.deal_id = entries.deal_id
            and firings.from_stage_id = entries.to_stage_id
    where
        firings.outcome = 'done'
        and firings.from_stage_id <> firings.to_stage_id
        and entries.actor in ('user', 'api_key')
        and entries.recorded_at > firings.recorded_at
        and entries.recorded_at <= firings.recorded_at + interval '14' day
    group by firings.organization_id, firings.firing_id
),

-- the first closing after the firing; what comes later is no affair of the rule
closings as (
    select
        firings.organization_id,
        firings.firing_id,
        entries.recorded_at,
        entries.occurred_at as closed_at,
        entries.outcome,
        row_number() over (
            partition by firings.organization_id, firings.firing_id
            order by entries.aggregate_version
        ) as closing_number
    from firings
    inner join entries
        on
            firings.organization_id = entries.organization_id
            and firings.deal_id = entries.deal_id
            and firings.recorded_at <= entries.recorded_at
    where entries.type = 'deal.closed'
),

points as (
    select
        organization_id,
        firing_id,
        recorded_at,
        1 as point_number,
        cast(null as timestamp with time zone) as reversed_at,
        cast(null as timestamp with time zone) as closed_at,
        cast(null as text) as deal_outcome
    from firings
    union all
    select
        organization_id,
        firing_id,
        recorded_at,
        2 as point_number,
        reversed_at,
        cast(null as timestamp with time zone) as closed_at,
        cast(null as text) as deal_outcome
    from reversals
    union all
    select
        organization_id,
        firing_id,
        recorded_at,
        3 as point_number,
        cast(null as timestamp with time zone) as reversed_at,
        closed_at,
        outcome as deal_outcome
    from closings
    where closing_number = 1
),

believed as (
    select
        organization_id,
        firing_id,
        recorded_at as known_from,
        row_number() over known as version_number,
        lead(recorded_at) over known as known_to,
        max(reversed_at) over known as reversed_at,
        max(closed_at) over known as closed_at,
        max(deal_outcome) over known as deal_outcome
    from points
    window known as (partition by organization_id, firing_id order by recorded_at, point_number)
)

select
    -- ids
    firings.organization_id,
    firings.firing_id,
    believed.version_number,
    firings.rule_id,
    rules.owner_id,
    firings.deal_id,

    -- facts
    firings.rule_version,
    firings.mode,
    firings.trigger_kind,
    firings.outcome,
    firings.score,
    case
        when firings.outcome <> 'done' then 'nothing done'
        when believed.reversed_at is not null then 'reversed'
        else 'stands'
    end as fate,
    coalesce(believed.deal_outcome, 'open') as deal_outcome,

    -- timestamps
    firings.fired_at,
    believed.reversed_at,
    believed.closed_at,
    believed.known_from,
    believed.known_to
from believed
inner join firings
    on
        believed.organization_id = firings.organization_id
        and believed.firing_id = firings.firing_id
left join rules
    on
        firings.organization_id = rules.organization_id
        and firings.rule_id = rules.rule_id
where believed.known_to is null or believed.known_to > believed.known_from
