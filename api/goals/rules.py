"""Rules of goals. No I/O. Goals of one person or team for one measure never overlap, so that they can be added up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict
from contracts.events.goals import GoalDeleted, GoalSet


class GoalOverlaps(Conflict):
    """There is a goal for a part of this period already."""

    code = "goal_overlaps"

    def __init__(self, other: "Goal") -> None:
        super().__init__(
            f"There is a goal from {other.starts_on} to {other.ends_on} already. Change or delete that one."
        )


@dataclass(frozen=True, kw_only=True)
class Goal(Versioned):
    """One goal, from a day to the day before another. Neither of a user nor of a team it is the organization's."""

    user_id: UUID | None
    team_id: UUID | None
    measure: str
    starts_on: date
    ends_on: date
    target: int
    currency: str | None
    deleted_at: datetime | None = None


Change = changes.Change[Goal]

_FACTS = ("user_id", "team_id", "measure", "starts_on", "ends_on", "target", "currency")


def create(known: Iterable[Goal], given: Mapping[str, Any], *, now: datetime) -> Change:
    """A new goal beside those of the same person or team for the same measure.

    Raises:
        GoalOverlaps: one of them speaks of some of the same days.
    """
    goal = Goal(id=uuid7(), version=1, created_at=now, updated_at=now, **{name: given[name] for name in _FACTS})
    for other in known:
        if other.starts_on < goal.ends_on and goal.starts_on < other.ends_on:
            raise GoalOverlaps(other)
    return Change(None, goal, GoalSet(**_facts(goal)))


def update(goal: Goal, target: int, *, now: datetime) -> Change | None:
    """Another target; None where it is that one."""
    if target == goal.target:
        return None
    after = revised(goal, now, target=target)
    return Change(goal, after, GoalSet(**_facts(after)))


def delete(goal: Goal, *, now: datetime) -> Change:
    """Gone, as if it had not been set; what was asked before knows it still."""
    return Change(goal, revised(goal, now, deleted_at=now), GoalDeleted())


def _facts(goal: Goal) -> dict[str, Any]:
    return {name: getattr(goal, name) for name in _FACTS}
