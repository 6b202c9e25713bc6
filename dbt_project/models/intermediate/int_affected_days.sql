-- depends_on: {{ ref('fct_stage_entries') }}
-- depends_on: {{ ref('fct_deals') }}
{% set confirmed = confirmed_batch_number() %}

with organizations as (
    select
        organization_id,
        time_zone
    from {{ ref('dim_organizations') }}
    where known_to is null and valid_to is null
),

-- of the entries and deals as known now: what a figure is counted from, where the build took it out or put it in
changed_entries as (
    select * from {{ journal_of('fct_stage_entries') }}
    where
        known_to is null
        and change_batch > {{ confirmed }}
),

changed_deals as (
    select * from {{ journal_of('fct_deals') }}
    where
        known_to is null
        and change_batch > {{ confirmed }}
),

changed_instants as (
    select
        organization_id,
        entered_at as instant
    from changed_entries
    group by organization_id, deal_id, pipeline_id, entry_number, stage_id, cause, entered_at
    having sum(change_weight) != 0
    union
    select
        organization_id,
        left_at as instant
    from changed_entries
    where left_at is not null
    group by organization_id, deal_id, pipeline_id, entry_number, stage_id, left_at, next_stage_id
    having sum(change_weight) != 0
    union
    select
        organization_id,
        created_at as instant
    from changed_deals
    group by organization_id, deal_id, pipeline_id, creation_owner_id, created_at, currency
    having sum(change_weight) != 0
    union
    select
        organization_id,
        closed_at as instant
    from changed_deals
    where closed_at is not null
    group by
        organization_id, deal_id, pipeline_id, status, closing_owner_id, closed_at, closing_amount_minor, currency
    having sum(change_weight) != 0
),

deal_days as (
    select distinct
        changed_instants.organization_id,
        {{ local_day('changed_instants.instant', 'organizations.time_zone') }} as day
    from changed_instants
    inner join organizations on changed_instants.organization_id = organizations.organization_id
),

all_days as (
    select
        dates.organization_id,
        {{ add_days('dates.day', 'neighbours.distance') }} as day
    from {{ ref('int_affected_organizations') }} as organizations
    inner join {{ ref('dim_dates') }} as dates on organizations.organization_id = dates.organization_id
    cross join (values (-1), (0), (1)) as neighbours (distance)
)

select
    organization_id,
    day
from deal_days
union
select
    organization_id,
    day
from all_days
