"""`/v1/bulk`: one action on all deals of a filter, as a job with progress, stop and undo."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from api.bulk import records, rules
from api.edge.dependencies import CurrentCaller, RecordWriter, Unit
from api.edge.fields import Flag
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.errors import NotFound
from api.kernel.filters import BadFilter, Wish, check
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from contracts.access import Role

router = slice_router(prefix="/bulk", tags=["bulk"])

_ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMIN})


class BulkAction(BaseModel):
    """What is done to each: `deal.delete`, or as rules do `deal.assign`, `deal.distribute`, `deal.set`, `deal.tag`.

    To contacts (and so to companies): `contact.delete`, `contact.assign` with `user_id`, `contact.tag` with `add` and
    `remove`, `contact.set` with the fields of a change.
    """

    model_config = ConfigDict(extra="forbid")

    do: Annotated[str, Field(max_length=60)]
    with_: Annotated[dict[str, Any], Field(alias="with", max_length=20)] = {}


class BulkCreate(BaseModel):
    """A bulk change."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "deal",
                    "filter": [["source", "=", "Website"]],
                    "action": {"do": "deal.tag", "with": {"add": ["website"]}},
                    "dry_run": True,
                }
            ]
        },
    )

    kind: Literal["deal", "contact", "company"] = "deal"
    filter: Annotated[list[Any], Field(max_length=20, description="Conditions, as the `filter` of lists takes them.")]
    action: BulkAction
    run_rules: Flag = Field(default=False, description="Whether rules of automation see these changes.")
    dry_run: Flag = Field(default=False, description="Only say how many it would be.")


class BulkRead(BaseModel):
    """A bulk change and how far it is. Without an id it was a dry run."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID | None
    version: int
    kind: str
    filter: list[Any]
    action: dict[str, Any]
    run_rules: bool
    state: Literal["dry_run", "running", "stopped", "done", "undoing", "undone"]
    total: int
    waiting: int
    done: int
    unchanged: int
    failed: int
    undone: int
    left: int = Field(description="Not undone, because somebody changed them since.")
    created_by: UUID
    created_at: datetime
    completed_at: datetime | None


class BulkProblem(BaseModel):
    """A record that could not be changed, or was left as it is when the rest was undone."""

    model_config = ConfigDict(from_attributes=True)

    record_id: UUID
    deal_id: UUID | None = Field(description="The same where it is a deal.")
    status: Literal["failed", "left"]
    problem: str | None


@router.post(
    "", status_code=202, response_model=BulkRead, responses=problems(BadFilter, rules.BadAction, rules.TooManyRecords)
)
async def start_bulk(body: BulkCreate, caller: RecordWriter, unit: Unit, response: Response) -> BulkRead:
    """Change all records of a filter that you see. The worker does it; a dry run only counts them."""
    action = body.action.model_dump(by_alias=True)
    if body.kind == "deal":
        rules.action_of(action)
    else:
        rules.record_action_of(body.kind, action)
    wish = Wish(check(body.filter))
    found = await records.matching(unit, body.kind, wish, owners=await owners_seen(unit, caller))
    given = {"kind": body.kind, "filter": body.filter, "action": action, "run_rules": body.run_rules}
    job = rules.begin(given, total=len(found), created_by=caller.user_id, now=unit.now)
    counts = dict.fromkeys(("done", "unchanged", "failed", "undone", "left"), 0)
    shown = {**vars(job.after), **counts, "waiting": len(found)}
    if body.dry_run:
        return BulkRead.model_validate({**shown, "id": None, "version": 0, "state": "dry_run"})
    records.write(unit, job, found)
    response.headers["Location"] = f"/v1/bulk/{job.after.id}"
    return BulkRead.model_validate(shown)


@router.get("")
async def list_bulk(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[BulkRead]:
    """List bulk changes, newest first: yours; administrators see all."""
    rows, cursor = await read_page(unit, records.JOBS, _whose(caller), page=page)
    return PageOf(items=[BulkRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{job_id}", responses=problems(NotFound))
async def read_bulk(job_id: UUID, caller: CurrentCaller, unit: Unit) -> BulkRead:
    """Read how far a bulk change is."""
    return await _shown(unit, caller, job_id)


@router.get("/{job_id}/problems", responses=problems(NotFound))
async def list_bulk_problems(job_id: UUID, caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[BulkProblem]:
    """List the records that failed or were left, and why."""
    await _shown(unit, caller, job_id)
    rows, cursor = await read_page(unit, records.PROBLEMS, {"job_id": job_id}, page=page)
    return PageOf(items=[BulkProblem.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/{job_id}/stop", responses=problems(NotFound, rules.JobHasEnded))
async def stop_bulk(job_id: UUID, caller: RecordWriter, unit: Unit) -> BulkRead:
    """Stop a bulk change: what is done stays done, and can be undone."""
    await _shown(unit, caller, job_id)
    records.write(unit, rules.stop(await records.find_job(unit, job_id), now=unit.now))
    await unit.send()
    return await _shown(unit, caller, job_id)


@router.post("/{job_id}/undo", responses=problems(NotFound, rules.JobIsAtWork))
async def undo_bulk(job_id: UUID, caller: RecordWriter, unit: Unit) -> BulkRead:
    """Restore what a bulk change changed, where nobody changed it since; the worker does it."""
    await _shown(unit, caller, job_id)
    records.write(unit, rules.undo(await records.find_job(unit, job_id), now=unit.now))
    await unit.send()
    return await _shown(unit, caller, job_id)


async def _shown(unit: UnitOfWork, caller: Caller, job_id: UUID) -> BulkRead:
    [rows] = await unit.fetch_all(records.JOBS.bind({"id": job_id, **_whose(caller)}, after=None, limit=1))
    if not rows:
        raise NotFound("bulk change")
    return BulkRead.model_validate(rows[0])


def _whose(caller: Caller) -> dict[str, object]:
    return {"created_by": None if caller.role in _ADMINISTRATORS else caller.user_id}
