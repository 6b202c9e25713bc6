{#- What became of what a campaign sent, as facts for `known_steps`: it was sent, delivered (not known to have come back,
    where the channel tells), or it failed. What failed and was sent after all did not fail. `id` says whose facts they
    are, a touch's or a recipient's; `failed_place` stands behind all other steps. -#}
{% macro delivery_facts(id, failed_place) -%}
    select
        organization_id,
        {{ id }},
        'sent' as step,
        2 as place,
        occurred_at as entered_at,
        recorded_at as learned_at,
        cast(null as timestamp with time zone) as unlearned_at
    from sends

    union all

    select
        sends.organization_id,
        sends.{{ id }},
        'delivered' as step,
        3 as place,
        sends.occurred_at as entered_at,
        sends.recorded_at as learned_at,
        bounces.recorded_at as unlearned_at
    from sends
    inner join touches
        on sends.organization_id = touches.organization_id and sends.touch_id = touches.touch_id
    left join (
        select
            organization_id,
            touch_id,
            min(recorded_at) as recorded_at
        from failures
        where step = 'bounced'
        group by organization_id, touch_id
    ) as bounces
        on sends.organization_id = bounces.organization_id and sends.touch_id = bounces.touch_id
    where touches.channel is not null

    union all

    select
        failures.organization_id,
        failures.{{ id }},
        failures.step,
        {{ failed_place }} as place,
        failures.occurred_at as entered_at,
        failures.recorded_at as learned_at,
        case when failures.step = 'failed' and undone.recorded_at > failures.recorded_at then undone.recorded_at end
            as unlearned_at
    from failures
    left join (
        select
            organization_id,
            touch_id,
            min(recorded_at) as recorded_at
        from sends
        group by organization_id, touch_id
    ) as undone
        on failures.organization_id = undone.organization_id and failures.touch_id = undone.touch_id
{%- endmacro %}
