"""What a bulk change may do, and how a record gets back what it had. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from uuid_utils.compat import uuid7

from api.bulk.kinds import KINDS, VERBS, RecordAction
from api.db.values import JsonList
from api.deals.actions import ACTIONS
from api.kernel import changes
from api.kernel.actions import ActionKind, ActionParameters
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict, Unprocessable

#: The most records of one bulk change.
MOST = 10_000
DELETE = "deal.delete"
#: Actions of rules that can also be taken back.
_KINDS: Mapping[str, ActionKind] = {
    kind.name: kind for kind in ACTIONS if kind.name in ("deal.assign", "deal.distribute", "deal.set", "deal.tag")
}


class BadAction(Unprocessable):
    """There is no such action, or it does not take these parameters."""

    code, pointer = "bad_action", "/action"


class TooManyRecords(Unprocessable):
    """The filter lets more through than one bulk change takes."""

    code, pointer = "too_many_records", "/filter"
    detail = f"The filter lets more than {MOST} records through. Narrow it, and do them in parts."


class JobHasEnded(Conflict):
    """What has ended cannot be stopped."""

    code, detail = "bulk_ended", "This bulk change has ended."


class JobIsAtWork(Conflict):
    """What is at work is stopped before it is taken back."""

    code, detail = "bulk_at_work", "This bulk change is still at work. Stop it first, or wait for its end."


@dataclass(frozen=True, kw_only=True)
class Job(Versioned):
    """One bulk change."""

    created_by: UUID
    kind: str
    filter: list[Any]
    action: dict[str, Any]
    run_rules: bool
    total: int
    state: str
    completed_at: datetime | None = None


Change = changes.Change[Job]
M = TypeVar("M", bound=BaseModel)


def record_action_of(kind: str, asked: Mapping[str, Any]) -> RecordAction:
    """What is done to contacts or companies.

    Raises:
        BadAction: says which actions there are, or what is wrong with the parameters.
    """
    noun, _, verb = asked["do"].partition(".")
    if noun != kind or verb not in VERBS:
        raise BadAction(f"There is no such action. There are: {', '.join(f'{kind}.{one}' for one in sorted(VERBS))}.")
    of = KINDS[kind]
    if verb == "delete":
        if asked["with"]:
            raise BadAction(f"{asked['do']} takes no parameters.")
        return RecordAction(of, verb, None)
    action = RecordAction(of, verb, _read(asked, VERBS[verb] or of.change))
    if action.parameters is not None and not action.parameters.model_fields_set:
        raise BadAction(f"{asked['do']}: name at least one field.")
    return action


def action_of(asked: Mapping[str, Any]) -> tuple[ActionKind | None, ActionParameters | None]:
    """The kind of an action on deals and its parameters; None where it deletes.

    Raises:
        BadAction: says which there are, or what is wrong with the parameters.
    """
    if asked["do"] == DELETE:
        if asked["with"]:
            raise BadAction("deal.delete takes no parameters.")
        return None, None
    kind = _KINDS.get(asked["do"])
    if kind is None:
        raise BadAction(f"There is no such action. There are: {', '.join(sorted([*_KINDS, DELETE]))}.")
    return kind, _read(asked, kind.parameters)


def _read(asked: Mapping[str, Any], model: type[M]) -> M:
    try:
        return model.model_validate(asked["with"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadAction(f"{asked['do']}: {f'{where}: ' if where else ''}{first['msg']}.") from error


def begin(given: Mapping[str, Any], *, total: int, created_by: UUID, now: datetime) -> Change:
    """A bulk change to be done. One of nothing is done at once."""
    values = {**given, "filter": JsonList(given["filter"]), "total": total, "created_by": created_by}
    state: dict[str, Any] = {"state": "running" if total else "done", "completed_at": None if total else now}
    return Change(None, Job(id=uuid7(), version=1, created_at=now, updated_at=now, **values, **state))


def stop(job: Job, *, now: datetime) -> Change:
    """No further deal is changed.

    Raises:
        JobHasEnded: as it says.
    """
    if job.state not in ("running", "undoing"):
        raise JobHasEnded
    return Change(job, revised(job, now, state="stopped", completed_at=now, filter=JsonList(job.filter)))


def undo(job: Job, *, now: datetime) -> Change:
    """What it changed is to be restored, where nobody changed it since.

    Raises:
        JobIsAtWork: as it says.
    """
    if job.state in ("running", "undoing"):
        raise JobIsAtWork
    return Change(job, revised(job, now, state="undoing", completed_at=None, filter=JsonList(job.filter)))


def as_facts(before: Mapping[str, Any]) -> dict[str, Any]:
    """What a deal had, as its rules take it; tags are kept beside."""
    facts = {name: value for name, value in before.items() if name != "tags"}
    for name in ("owner_id", "source_id"):
        if facts.get(name):
            facts[name] = UUID(facts[name])
    if facts.get("close_date"):
        facts["close_date"] = date.fromisoformat(facts["close_date"])
    return facts
