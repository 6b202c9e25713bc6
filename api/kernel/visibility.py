"""Whose records a caller sees: the one meaning of record scopes, for lists, single records and metrics alike."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.caller import Caller
from api.kernel.unit_of_work import UnitOfWork
from contracts.access import RecordScope

# a caller's teams are the one they are in and those they manage; `subtree` adds every team below
_VISIBLE = compiled(
    text("""
with recursive own_teams as (
    select t.id from teams as t
    where t.organization_id = :organization_id and t.is_active
        and (
            t.manager_id = :user_id
            or t.id in (
                select m.team_id from team_members as m
                where m.organization_id = :organization_id and m.user_id = :user_id and m.ended_at is null
            )
        )
), seen_teams as (
    select id from own_teams
    union
    select t.id from teams as t join seen_teams as s on t.parent_team_id = s.id
    where t.organization_id = :organization_id and :with_subteams
)
select m.user_id from team_members as m join seen_teams as s on s.id = m.team_id
where m.organization_id = :organization_id and m.ended_at is null
union
select t.manager_id from teams as t join seen_teams as s on s.id = t.id
where t.organization_id = :organization_id and t.manager_id is not null
""")
)
_WITHOUT_TEAMS = (RecordScope.ALL, RecordScope.OWN)


async def owners_seen(unit: UnitOfWork, caller: Caller) -> frozenset[UUID] | None:
    """Users whose records the caller sees, themselves included; None means everybody's, also records nobody owns.

    With a set, records nobody owns are not seen. Waits only where teams decide.
    """
    [seen] = await owners_seen_by(unit, [caller])
    return seen


async def owners_seen_by(unit: UnitOfWork, callers: Sequence[Caller]) -> list[frozenset[UUID] | None]:
    """The same of each of several callers, in one wait."""
    in_teams = {(one.user_id, one.record_scope): one for one in callers if one.record_scope not in _WITHOUT_TEAMS}
    answers = (
        await unit.fetch_all(
            *(
                _VISIBLE.bind(user_id=one.user_id, with_subteams=one.record_scope is RecordScope.SUBTREE)
                for one in in_teams.values()
            )
        )
        if in_teams
        else []
    )
    found = {key: frozenset(row.user_id for row in rows) for key, rows in zip(in_teams, answers, strict=True)}
    return [
        None
        if one.record_scope is RecordScope.ALL
        else found.get((one.user_id, one.record_scope), frozenset()) | {one.user_id}
        for one in callers
    ]
