-- Stages travel by another topic than deals and may come a moment later: worth knowing, no reason to publish nothing.
{{ config(severity='warn') }}

select distinct
    entries.organization_id,
    entries.stage_id
from {{ built_rows('fct_stage_entries') }} as entries
left join {{ ref('dim_stages') }} as stages
    on entries.organization_id = stages.organization_id and entries.stage_id = stages.stage_id
where stages.stage_id is null
