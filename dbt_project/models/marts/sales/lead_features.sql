{{
    config(
        materialized='maintained',
        unique_key=['organization_id', 'deal_id'],
        meta={
            'speed': 'live',
            'affected': 'int_touched_deals',
            'row_key': ['organization_id', 'deal_id', 'scored_at'],
        },
        indexes=[{'columns': ['organization_id', 'deal_id']}],
    )
}}

{% set keys = ['organization_id', 'deal_id'] %}
{% set touched = ref('int_touched_deals') %}

-- what was true at each instant; only `outcome` and `outcome_at` look ahead, and they are what is to be foretold
with entries as (
    select * from {{ built_rows('fct_stage_entries') }}
    where known_to is null and {{ is_affected(touched, keys) }}
),

versions as (
    select * from {{ built_rows('fct_deal_versions') }}
    where known_to is null and {{ is_affected(touched, keys) }}
),

changes as (
    select
        organization_id,
        deal_id,
        entered_at as scored_at
    from entries
    union
    select
        organization_id,
        deal_id,
        valid_from as scored_at
    from versions
),

instants as (
    select
        *,
        lead(scored_at) over (partition by organization_id, deal_id order by scored_at) as next_at
    from changes
),

created as (
    select
        organization_id,
        deal_id,
        entered_at as created_at
    from entries
    where cause = 'created'
),

closings as (
    select
        instants.organization_id,
        instants.deal_id,
        instants.scored_at,
        entries.cause as outcome,
        entries.entered_at as outcome_at,
        row_number() over (
            partition by instants.organization_id, instants.deal_id, instants.scored_at
            order by entries.entry_number
        ) as closing_number
    from instants
    inner join entries
        on
            instants.organization_id = entries.organization_id
            and instants.deal_id = entries.deal_id
            and entries.entered_at > instants.scored_at
            and entries.cause in ('won', 'lost')
)

select
    -- ids
    instants.organization_id,
    instants.deal_id,
    entry.pipeline_id,
    entry.stage_id,
    version.source_id,

    -- facts of the instant
    instants.scored_at,
    version.amount_minor,
    version.currency,
    version.company_id is not null as has_company,
    version.contact_id is not null as has_contact,
    cast(entry.entry_number - 1 as integer) as moves,
    cast(version.version_number - 1 as integer) as changes,
    {{ whole_days('created.created_at', 'instants.scored_at') }} as days_since_created,
    {{ whole_days('entry.entered_at', 'instants.scored_at') }} as days_in_stage,
    {{ whole_days('instants.scored_at', 'cast(version.close_date as timestamp)') }} as days_to_close_date,
    entry.left_at is null and instants.next_at is null as is_present,

    -- what came of it
    closing.outcome,
    closing.outcome_at
from instants
inner join entries as entry
    on
        instants.organization_id = entry.organization_id
        and instants.deal_id = entry.deal_id
        and entry.entered_at <= instants.scored_at
        and (entry.left_at is null or entry.left_at > instants.scored_at)
        and entry.status = 'open'
inner join versions as version
    on
        instants.organization_id = version.organization_id
        and instants.deal_id = version.deal_id
        and version.valid_from <= instants.scored_at
        and (version.valid_to is null or version.valid_to > instants.scored_at)
inner join created
    on
        instants.organization_id = created.organization_id
        and instants.deal_id = created.deal_id
left join closings as closing
    on
        instants.organization_id = closing.organization_id
        and instants.deal_id = closing.deal_id
        and instants.scored_at = closing.scored_at
        and closing.closing_number = 1
