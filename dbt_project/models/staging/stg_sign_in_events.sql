with events as (
    select * from {{ ref('stg_events') }}
    where type = 'user.logged_in'
)

select
    -- ids
    {{ event_columns('user_id') }}
from events
