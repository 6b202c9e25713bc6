select
    organization_id,
    aggregate_id as deal_id
from {{ ref('int_touched_aggregates') }}
where aggregate_type = 'deal'
