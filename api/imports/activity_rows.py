"""Rows of notes, activities and tasks files.

A row is known again by its external id, or else by all that it says: its own id is made of that, so that a file that is
imported twice adds nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import polars as pl
from sqlalchemy import text

from api.activities import records as activities
from api.activities import rules as activity_rules
from api.activities.rules import Activity
from api.db.statements import compiled, is_one_of
from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, UnknownNameError
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.relations import Companies, Contacts, load_companies, load_contacts
from api.imports.rows import KEY
from api.kernel.changes import Change, Versioned
from api.kernel.errors import CrmError
from api.kernel.external_ids import own_ids
from api.kernel.states import as_state, rows_of
from api.models.activity import Activity as ActivityRow
from api.models.task import Task as TaskRow
from api.tasks import records as tasks
from api.tasks import rules as task_rules
from api.tasks.rules import Task
from contracts.events.activities import ActivityKind

Row = Mapping[str, Any]
S = TypeVar("S", bound=Versioned)

_DEALS = compiled(
    text("""
select id, coalesce(external_id, id::text) as name from deals
where organization_id = :organization_id and deleted_at is null
    and (external_id = any(cast(:names as text[])) or external_id is null and id::text = any(cast(:names as text[])))
"""),
    is_prepared=False,
)
_KNOWN_ACTIVITIES = compiled(rows_of(Activity, ActivityRow).where(is_one_of(ActivityRow.id, "ids")).with_for_update())
_KNOWN_TASKS = compiled(rows_of(Task, TaskRow).where(is_one_of(TaskRow.id, "ids")).with_for_update())


@dataclass(frozen=True)
class _Named:
    """What the rows of a chunk name."""

    directory: Directory
    companies: Companies
    contacts: Contacts
    deals: Mapping[str, UUID]

    def of(self, row: Row, person: str) -> dict[str, Any]:
        """The links of a row, and whose it is.

        Raises:
            _LeadsNowhereError: it names something that there is not.
        """
        return {
            "person_id": _found(person, lambda: self.directory.user_id(row[person])),
            "company_id": _found("company", lambda: self.companies.find(row)),
            "contact_id": _found("contact_email", lambda: self.contacts.find(row)),
            "deal_id": _found("deal_external_id", lambda: self._deal(row["deal_external_id"])),
        }

    def _deal(self, name: str | None) -> UUID | None:
        if name is not None and name not in self.deals:
            raise UnknownNameError("There is no such deal.", fix="Import the deal first, or correct its id.")
        return None if name is None else self.deals[name]


class _LeadsNowhereError(ValueError):
    """A row names something that there is not."""

    def __init__(self, column: str, error: UnknownNameError) -> None:
        super().__init__(str(error))
        self.column, self.error = column, error


async def write_activities(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write a chunk of calls, meetings and notes."""
    rows = frame.to_dicts()
    named = await _named(batch, directory, rows)
    found = await batch.unit.fetch(_KNOWN_ACTIVITIES, ids=_ids(batch, rows))
    known = {row.id: as_state(Activity, row) for row in found}
    now = batch.run.learned_at

    def decide(row: Row, id_: UUID, given: dict[str, Any]) -> list[Change[Activity]]:
        before = known.get(id_)
        author_id = given.pop("person_id")
        if before is None:
            made = activity_rules.log(ActivityKind(row["kind"] or "note"), given, now=now, author_id=author_id)
            return [replace(made, after=replace(made.after, id=id_))]
        change = None if before.deleted_at else activity_rules.update(before, _said(given), now=now)
        return [] if change is None else [change]

    columns = ("subject", "body", "took_place_at", "duration_seconds", "direction")
    changes = _decided(batch, rows, named, decide, known=known, person="author_email", columns=columns)
    activities.write(batch.unit, changes)


async def write_tasks(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write a chunk of tasks; those that say when they were done are done."""
    rows = frame.to_dicts()
    named = await _named(batch, directory, rows)
    known = {row.id: as_state(Task, row) for row in await batch.unit.fetch(_KNOWN_TASKS, ids=_ids(batch, rows))}
    zone, now = ZoneInfo(batch.run.time_zone), batch.run.learned_at

    def decide(row: Row, id_: UUID, given: dict[str, Any]) -> list[Change[Task]]:
        before = known.get(id_)
        given["assignee_id"] = given.pop("person_id")
        if before is None:
            began = row["created_at"] or min(now, row["completed_at"] or now)
            made = task_rules.create(given, now=began, zone=zone, created_by=None)
            found = [replace(made, after=replace(made.after, id=id_), occurred_at=began)]
        else:
            change = None if before.deleted_at else task_rules.update(before, _said(given), now=now, zone=zone)
            found = [] if change is None else [change]
        task = found[-1].after if found else before
        is_done = task is None or task.completed_at is not None or task.deleted_at is not None
        if row["completed_at"] is not None and task is not None and not is_done:
            done: datetime = row["completed_at"]
            found += [replace(one, occurred_at=done) for one in task_rules.complete(task, now=done, zone=zone)]
        return found

    columns = ("title", "body", "due_at", "remind_at", "recurrence")
    changes = _decided(batch, rows, named, decide, known=known, person="assignee_email", columns=columns)
    tasks.write(batch.unit, changes)


def _decided(
    batch: Batch,
    rows: Sequence[Row],
    named: _Named,
    decide: Callable[[Row, UUID, dict[str, Any]], list[Change[S]]],
    *,
    known: Collection[UUID],
    person: str,
    columns: Iterable[str],
) -> list[Change[S]]:
    found: list[Change[S]] = []
    for row in rows:
        line, entity = Line(row[FILE], row[ROW]), batch.run.files[row[FILE]].file.entity
        given = {name: row[name] for name in columns if name in row}
        try:
            changes = decide(row, _id(batch, row, known), given | named.of(row, person))
        except _LeadsNowhereError as nowhere:
            problem = nowhere.error
            batch.fail(line, nowhere.column, value=row[nowhere.column], problem=problem.problem, fix=problem.fix)
            continue
        except CrmError as error:
            column = (getattr(error, "pointer", None) or "").strip("/")
            column = column if column in row else ""
            batch.fail(line, column, value=row.get(column), problem=str(error), fix="Correct the row.")
            continue
        found += changes
        is_new = bool(changes) and changes[0].before is None
        batch.count(entity, RowResult.CREATED if is_new else RowResult.UPDATED if changes else RowResult.UNCHANGED)
    return found


async def _named(batch: Batch, directory: Directory, rows: Sequence[Row]) -> _Named:
    companies = await load_companies(batch, rows)
    contacts = await load_contacts(batch, rows, companies)
    names = sorted({row["deal_external_id"] for row in rows if row["deal_external_id"]})
    deals = await batch.unit.fetch(_DEALS, names=names) if names else []
    return _Named(directory, companies, contacts, {row.name: row.id for row in deals})


def _found(column: str, look_up: Callable[[], UUID | None]) -> UUID | None:
    try:
        return look_up()
    except UnknownNameError as error:
        raise _LeadsNowhereError(column, error) from error


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """An empty cell leaves what is known."""
    return {name: value for name, value in given.items() if value is not None}


def _ids(batch: Batch, rows: Iterable[Row]) -> list[UUID]:
    return [_id(batch, row) for row in rows] + own_ids(row["external_id"] for row in rows)


def _id(batch: Batch, row: Row, known: Collection[UUID] = ()) -> UUID:
    """What a row's own id is: an export gives ours."""
    ours = [one for one in own_ids([row["external_id"]]) if one in known]
    if ours:
        return ours[0]
    entity = batch.run.files[row[FILE]].file.entity
    kind = "task" if entity is Entity.TASKS else "activity"
    return uuid5(batch.organization_id, f"{kind}\x1f{row[KEY]}")
