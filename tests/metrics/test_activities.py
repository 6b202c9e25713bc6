"""Activities and tasks, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from contracts.events.activities import ActivityDeleted, ActivityKind, ActivityLogged, ActivityUpdated
from contracts.events.files import FileAttached, FileDeleted
from contracts.events.tasks import TaskCompleted, TaskCreated, TaskReopened
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

_NOTHING: dict[str, Any] = {"deal_id": None, "contact_id": None, "company_id": None}


def _activity(kind: str, author: UUID, day: float) -> dict[str, Any]:
    return {
        **_NOTHING,
        "kind": ActivityKind(kind),
        "author_id": author,
        "took_place_at": BEGINNING + days(day),
        "duration_seconds": None,
        "direction": None,
    }


def _tell(log: EventLog) -> tuple[UUID, UUID]:
    ada, ben = log.user(), log.user()
    for day, author, kind in ((1, ada, "call"), (2, ada, "note"), (3, ben, "call"), (40, ben, "call")):
        log.add(ActivityLogged(**_activity(kind, author, day)), log.new_id(), at=BEGINNING + days(day))
    moved, gone = log.new_id(), log.new_id()
    log.add(ActivityLogged(**_activity("meeting", ben, 4)), moved, at=BEGINNING + days(4))
    log.add(
        ActivityUpdated(**_activity("meeting", ben, 50), changed_fields=["took_place_at"]),
        moved,
        at=BEGINNING + days(51),
    )
    log.add(ActivityLogged(**_activity("call", ben, 5)), gone, at=BEGINNING + days(5))
    log.add(ActivityDeleted(**_activity("call", ben, 5)), gone, at=BEGINNING + days(6))
    task: dict[str, Any] = {**_NOTHING, "assignee_id": ada, "due_at": None, "is_recurring": False}
    done, reopened = log.new_id(), log.new_id()
    for one in (done, reopened):
        log.add(TaskCreated(**task), one, at=BEGINNING + days(1))
        log.add(TaskCompleted(**task), one, at=BEGINNING + days(2))
    log.add(TaskReopened(**task), reopened, at=BEGINNING + days(3))
    file: dict[str, Any] = {**_NOTHING, "activity_id": None, "message_id": None, "size_bytes": 9}
    kept, deleted, late = log.new_id(), log.new_id(), log.new_id()
    log.add(FileAttached(**file | {"uploaded_by": ada, "deal_id": late}), kept, at=BEGINNING + days(1))
    log.add(FileAttached(**file | {"uploaded_by": ben, "message_id": late}), late, at=BEGINNING + days(40))
    for event in (FileAttached, FileDeleted):
        log.add(event(**file | {"uploaded_by": ben, "contact_id": late}), deleted, at=BEGINNING + days(2))
    return ada, ben


_STORY = Told(_tell)


def test_counts_what_took_place_as_it_is_believed(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, (ada, ben) = ask_built(_STORY.log), _STORY.by
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(35)).date()}

    def counts(metric: str, by: str) -> dict[str | None, int]:
        return {row["group"]: row[metric] for row in asker.answer(metric, **period, group_by=by).rows}

    assert counts("activity_count", "user") == {str(ada): 2, str(ben): 1}
    assert counts("activity_count", "kind") == {"call": 2, "note": 1}
    assert counts("tasks_completed", "user") == {str(ada): 1}
    assert counts("files_attached", "user") == {str(ada): 1}
    assert counts("files_attached", "kind") == {"deal": 1}
