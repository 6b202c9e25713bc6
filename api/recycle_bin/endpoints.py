"""`/v1/recycle-bin`: what was deleted in the last 90 days, and back with it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.activities import records as activities
from api.activities import rules as activity_rules
from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.deals import records as deals
from api.deals import rules as deal_rules
from api.deals.errors import ExternalIdTaken
from api.edge.dependencies import CurrentCaller, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.files import records as files
from api.files import rules as file_rules
from api.kernel import custom
from api.kernel.binning import OPEN, take_from_bin
from api.kernel.caller import Caller
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.recycle_bin.records import BINS, KEPT_DAYS, BinKind, as_owners
from api.tasks import records as tasks
from api.tasks import rules as task_rules

router = slice_router(prefix="/recycle-bin", tags=["recycle bin"])


class BinItem(BaseModel):
    """Something that was deleted."""

    id: UUID
    kind: BinKind
    title: str
    owner_id: UUID | None
    deleted_at: datetime
    until: datetime = Field(description="Until when it can be restored.")


class Restored(BaseModel):
    """Something that is there again."""

    id: UUID
    version: int
    kind: BinKind


@router.get("")
async def list_recycle_bin(
    caller: CurrentCaller, unit: Unit, page: Page, kind: BinKind = BinKind.DEAL
) -> PageOf[BinItem]:
    """List what was deleted, as far as you saw it: records of one kind, the newest record first."""
    owners = await owners_seen(unit, caller)
    unit.execute(OPEN)  # for the next wait alone, as a unit that reads has no longer transactions
    rows, cursor = await read_page(unit, BINS[kind], as_owners(owners), page=page)
    items = [BinItem(**row._asdict(), kind=kind, until=row.deleted_at + timedelta(days=KEPT_DAYS)) for row in rows]
    return PageOf(items=items, next_cursor=cursor)


@router.post("/{kind}/{record_id}/restore", responses=problems(NotFound, ExternalIdTaken, custom.CustomValueTaken))
async def restore_record(kind: BinKind, record_id: UUID, caller: RecordWriter, unit: Unit) -> Restored:
    """Restore something as it was. It counts from now on; reports as of the time in between still lack it."""
    version = await _RESTORERS[kind](unit, caller, record_id)
    return Restored(id=record_id, version=version, kind=kind)


async def _restore_deal(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    deal, fields = await deals.lock_deleted(unit, record_id, owner_ids=await owners_seen(unit, caller))
    told = custom.merge(fields, deal.custom, {}) if deal.custom else None
    change = deal_rules.restore(deal, told, now=unit.now)
    unit.explain({"uq_deals_external_id": lambda: ExternalIdTaken(deal.external_id)})
    deals.write(unit, known=[change])
    return change.deal.version


async def _restore_task(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    task = await tasks.lock_deleted(unit, record_id, owners=await owners_seen(unit, caller))
    change = task_rules.restore(task, now=unit.now)
    tasks.write(unit, [change])
    return change.after.version


async def _restore_activity(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    seen = activities.seen_by(caller.user_id, await owners_seen(unit, caller))
    found = await activities.lock_deleted(unit, record_id, seen=seen)
    change = activity_rules.restore(found, now=unit.now)
    activities.write(unit, [change])
    return change.after.version


async def _restore_file(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    found = await files.lock_deleted(unit, record_id, owners=await owners_seen(unit, caller))
    change = file_rules.restore(found, now=unit.now)
    files.write(unit, [change])
    return change.after.version


async def _restore_contact(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    return await take_from_bin(unit, CONTACTS, record_id, owners=await owners_seen(unit, caller))


async def _restore_company(unit: UnitOfWork, caller: Caller, record_id: UUID) -> int:
    return await take_from_bin(unit, COMPANIES, record_id, owners=await owners_seen(unit, caller))


_RESTORERS: dict[BinKind, Any] = {
    BinKind.DEAL: _restore_deal,
    BinKind.TASK: _restore_task,
    BinKind.ACTIVITY: _restore_activity,
    BinKind.FILE: _restore_file,
    BinKind.CONTACT: _restore_contact,
    BinKind.COMPANY: _restore_company,
}
