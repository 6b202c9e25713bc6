{{
    config(
        materialized='maintained',
        unique_key=['organization_id'],
        meta={'speed': 'live', 'affected': 'int_configured_organizations', 'row_key': ['organization_id', 'user_id']},
    )
}}

{% set configured = ref('int_configured_organizations') %}

with events as (
    select * from {{ ref('stg_team_member_events') }}
    where {{ is_affected(configured, ['organization_id']) }}
),

memberships as (
    select distinct
        organization_id,
        user_id,
        team_id
    from events
),

-- a user is in one team at a time: joining a team is leaving every other
facts as (
    select
        memberships.organization_id,
        memberships.user_id,
        memberships.team_id,
        events.occurred_at,
        events.recorded_at,
        events.aggregate_version,
        events.event_id,
        true as sets_state,
        events.type = 'team.member.added' and events.team_id = memberships.team_id as is_first,
        false as is_last,
        events.type = 'team.member.added' and events.team_id = memberships.team_id as is_member
    from memberships
    inner join events
        on
            memberships.organization_id = events.organization_id
            and memberships.user_id = events.user_id
            and (memberships.team_id = events.team_id or events.type = 'team.member.added')
),

states as (
    with {{ bitemporal_states(
        keys=['organization_id', 'user_id', 'team_id'],
        groups={'sets_state': ['is_member']},
        order_by=['occurred_at', 'recorded_at', 'aggregate_version', 'event_id'],
    ) }}
)

select
    organization_id,
    user_id,
    team_id,
    valid_from,
    valid_to,
    known_from,
    known_to
from states
where is_member
