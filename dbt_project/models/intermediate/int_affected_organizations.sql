-- a new zone, a reordered stage or a changed team may move any figure of the organization
select distinct organization_id
from {{ ref('int_configured_organizations') }}
where aggregate_type in ('organization', 'stage', 'team')
