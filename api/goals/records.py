"""Statements about goals."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, or_, text

from api.db.statements import compiled, is_one_of
from api.goals.rules import Change, Goal
from api.kernel.changes import expect
from api.kernel.constraints import Problems, unknown
from api.kernel.listing import Listing
from api.kernel.states import as_states, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.goal import Goal as GoalRow

_PROBLEMS: Problems = {
    "fk_goals_user_id": unknown("user_id", "user"),
    "fk_goals_team_id": unknown("team_id", "team"),
}
_HOLD = compiled(text("select pg_advisory_xact_lock(hashtextextended('goals:' || cast(:organization_id as text), 0))"))
_goals = rows_of(Goal, GoalRow).where(GoalRow.deleted_at.is_(None))
_ALIKE = compiled(
    _goals.where(
        GoalRow.measure == bindparam("measure"),
        GoalRow.user_id.is_not_distinct_from(bindparam("user_id", type_=GoalRow.user_id.type)),
        GoalRow.team_id.is_not_distinct_from(bindparam("team_id", type_=GoalRow.team_id.type)),
        GoalRow.starts_on < bindparam("ends_on"),
        GoalRow.ends_on > bindparam("starts_on"),
    )
)
_conditions = {
    "id": GoalRow.id == bindparam("id"),
    "owners": or_(GoalRow.user_id.is_(None), is_one_of(GoalRow.user_id, "owners")),
    "user_id": GoalRow.user_id == bindparam("user_id"),
    "team_id": GoalRow.team_id == bindparam("team_id"),
    "measure": GoalRow.measure == bindparam("measure"),
    "from": GoalRow.ends_on > bindparam("from"),
    "to": GoalRow.starts_on < bindparam("to"),
}
#: Goals, those that begin latest first. Of people only those that the caller sees.
GOALS = Listing(_goals, filters=_conditions, order=(GoalRow.starts_on, GoalRow.id), newest_first=True)
_LOCKED = Listing(_goals.with_for_update(of=GoalRow), filters=_conditions, order=(GoalRow.id,))


async def hold_alike(
    unit: UnitOfWork, *, user_id: UUID | None, team_id: UUID | None, measure: str, starts_on: date, ends_on: date
) -> list[Goal]:
    """Goals of the same person or team for the same measure that overlap; nobody adds any meanwhile."""
    given = {"user_id": user_id, "team_id": team_id, "measure": measure, "starts_on": starts_on, "ends_on": ends_on}
    _, found = await unit.fetch_all(_HOLD.bind(), _ALIKE.bind(**given))
    return as_states(Goal, found)


async def find_goal(unit: UnitOfWork, given: dict[str, Any], *, version: int | None = None, lock: bool = False) -> Goal:
    """One goal that the caller sees.

    Raises:
        NotFound, PreconditionFailed: as they say.
    """
    [rows] = await unit.fetch_all((_LOCKED if lock else GOALS).bind(given, after=None, limit=1))
    states = as_states(Goal, rows)
    return expect(states[0] if states else None, "goal", version=version)


def write(unit: UnitOfWork, changes: Iterable[Change]) -> None:
    """Queue what was decided."""
    unit.explain(_PROBLEMS)
    write_changes(unit, changes, {Goal: GoalRow})
