-- rebuilt: two columns of the events, however many there are
select
    organization_id,
    max(recorded_at) as through,
    count(*) as event_count
from {{ ref('stg_events') }}
group by organization_id
