{# How far each thing came, as known from instant to instant, out of `facts`: its `id`, a step with its place, when it was
   entered, when that was learned, and when it was learned that it was not so. Of one step the first time counts. #}
{% macro known_steps(facts, id) %}
    with instants as (
        select
            organization_id,
            {{ id }},
            learned_at as known_from
        from {{ facts }}

        union

        select
            organization_id,
            {{ id }},
            unlearned_at as known_from
        from {{ facts }}
        where unlearned_at is not null
    ),

    intervals as (
        select
            *,
            lead(known_from) over (
                partition by organization_id, {{ id }}
                order by known_from
            ) as known_to
        from instants
    ),

    known as (
        select
            intervals.organization_id,
            intervals.{{ id }},
            intervals.known_from,
            intervals.known_to,
            facts.step,
            facts.place,
            min(facts.entered_at) as entered_at
        from intervals
        inner join {{ facts }} as facts
            on
                intervals.organization_id = facts.organization_id
                and intervals.{{ id }} = facts.{{ id }}
                and intervals.known_from >= facts.learned_at
                and (facts.unlearned_at is null or intervals.known_from < facts.unlearned_at)
        group by
            intervals.organization_id,
            intervals.{{ id }},
            intervals.known_from,
            intervals.known_to,
            facts.step,
            facts.place
    )

    select
        organization_id,
        {{ id }},
        row_number() over (
            partition by organization_id, {{ id }}, known_from
            order by entered_at, place
        ) as step_number,
        step,
        lead(step) over (
            partition by organization_id, {{ id }}, known_from
            order by entered_at, place
        ) as next_step,
        entered_at,
        lead(entered_at) over (
            partition by organization_id, {{ id }}, known_from
            order by entered_at, place
        ) as left_at,
        known_from,
        known_to
    from known
{% endmacro %}
