-- a calendar reaches from an organization's first day to the end of the year after its last event
with calendars as (
    select
        organization_id,
        min(starts_at) as starts_at,
        max(ends_at) as ends_at
    from {{ earlier_calendar() }}
    group by organization_id
),

spans as (
    select * from {{ ref('int_event_spans') }}
    where batch_id > {{ confirmed_batch_number('shared') }}
)

select spans.organization_id
from spans
left join calendars on spans.organization_id = calendars.organization_id
where
    calendars.organization_id is null
    or spans.first_at < calendars.starts_at
    -- a day early, as a zone's offset may be another a year later
    or spans.through >= calendars.ends_at - interval '1 year' - interval '1 day'
union
select organization_id
from {{ ref('stg_setup_events') }}
where
    aggregate_type = 'organization'
    and batch_id > {{ confirmed_batch_number('shared') }}
