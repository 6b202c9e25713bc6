"""Statements of bulk changes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ScalarSelect, bindparam, func, literal, select, text
from uuid_utils.compat import uuid7

from api.bulk.kinds import KINDS
from api.bulk.rules import MOST, Change, Job, TooManyRecords
from api.db.statements import compiled
from api.deals.records import DEALS, FIELDS
from api.edge.pages import asked
from api.kernel.filters import Wish
from api.kernel.hints import hint
from api.kernel.listing import Listing
from api.kernel.records import Owners
from api.kernel.states import only, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.bulk import BulkItem, BulkJob
from api.models.deal import Deal

#: What the worker waits for.
WORK = "bulk"

_organization: BindParameter[UUID] = bindparam("organization_id")
_jobs = rows_of(Job, BulkJob)
_record_id: Any = func.coalesce(BulkItem.record_id, BulkItem.deal_id).label("record_id")
_items: Any = select(BulkItem.id, BulkItem.deal_id, _record_id, BulkItem.status, BulkItem.problem)


def _counted(*statuses: str) -> ScalarSelect[int]:
    return (
        select(func.count())
        .where(
            BulkItem.organization_id == BulkJob.organization_id,
            BulkItem.job_id == BulkJob.id,
            BulkItem.status.in_(statuses),
        )
        .scalar_subquery()
    )


#: Bulk changes with how far they are, newest first.
JOBS = Listing(
    _jobs.add_columns(
        *(_counted(one).label(one) for one in ("waiting", "done", "unchanged", "failed", "undone", "left"))
    ),
    filters={"id": BulkJob.id == bindparam("id"), "created_by": BulkJob.created_by == bindparam("created_by")},
    order=(BulkJob.id,),
    newest_first=True,
)
#: What became of records that were not simply changed.
PROBLEMS = Listing(
    _items.where(BulkItem.organization_id == _organization, BulkItem.status.in_(["failed", "left"])),
    filters={"job_id": BulkItem.job_id == bindparam("job_id")},
    order=(BulkItem.id,),
)
_LOCKED = compiled(_jobs.where(BulkJob.id == bindparam("job_id")).with_for_update(key_share=True))
#: As the worker: what is to be done.
TO_DO = compiled(
    text("select organization_id, id from bulk_jobs where state in ('running', 'undoing') order by created_at limit 20")
)
#: Some records of a job that nobody else is at.
SOME = compiled(
    select(BulkItem.id, BulkItem.deal_id, BulkItem.record_id, BulkItem.before, BulkItem.version_after)
    .where(
        BulkItem.organization_id == _organization,
        BulkItem.job_id == bindparam("job_id"),
        BulkItem.status == bindparam("status"),
    )
    .order_by(BulkItem.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_WAITING = compiled(
    select(literal(1))
    .where(
        BulkItem.organization_id == _organization,
        BulkItem.job_id == bindparam("job_id"),
        BulkItem.status == bindparam("status"),
    )
    .limit(1)
)


async def matching(unit: UnitOfWork, kind: str, wish: Wish, *, owners: Owners) -> list[UUID]:
    """The records of a kind that a filter lets through, of those that the caller sees.

    Raises:
        BadFilter: the list cannot follow it.
        TooManyRecords: as it says.
    """
    seen = None if owners is None else list(owners)
    if kind == "deal":
        ask = await asked(unit, wish, kind, FIELDS, Deal)
        found = DEALS.bind({"owner_ids": seen}, after=None, limit=MOST + 1, ask=ask)
    else:
        of = KINDS[kind].kind
        ask = await asked(unit, wish, kind, of.fields, of.model)
        found = of.listing.bind({"owners": seen}, after=None, limit=MOST + 1, ask=ask)
    [rows] = await unit.fetch_all(found)
    if len(rows) > MOST:
        raise TooManyRecords
    return [row.id for row in rows]


async def find_job(unit: UnitOfWork, job_id: UUID) -> Job:
    """One bulk change, locked.

    Raises:
        NotFound: there is none.
    """
    return only(Job, await unit.fetch(_LOCKED, job_id=job_id), "bulk change")


async def is_left(unit: UnitOfWork, job_id: UUID, status: str) -> bool:
    """Whether a job has records of this status."""
    return bool(await unit.fetch(_WAITING, job_id=job_id, status=status))


def write(unit: UnitOfWork, change: Change, found: Sequence[UUID] = ()) -> None:
    """Queue a job, and the records of a new one."""
    write_changes(unit, [change], {Job: BulkJob})
    if change.after.state in ("running", "undoing"):
        hint(unit, WORK)
    column = "deal_id" if change.after.kind == "deal" else "record_id"
    rows = [
        {"id": uuid7(), "created_at": unit.now, "job_id": change.after.id, column: record_id, "status": "waiting"}
        for record_id in found
    ]
    if rows:
        unit.insert(BulkItem, *rows)
