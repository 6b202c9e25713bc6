"""Taking an import back: the deals that it created, as long as nobody else touched them. The log keeps all of it."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, func, select

from api.db.statements import compiled
from api.deals.records import lock_known, write
from api.deals.rules import delete
from api.imports import records
from api.kernel.errors import Conflict, NotFound
from api.kernel.unit_of_work import UnitOfWork
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.import_job import ImportJob
from contracts.events.deals import DealCreated
from contracts.events.imports import ImportReverted

#: Deals of one transaction.
_AT_ONCE = 2_000
_SHOWN = 100


class ImportNotEnded(Conflict):
    """An import that is still at work cannot be taken back."""

    code, detail = "import_not_ended", "The import has not ended yet. Wait for its end."


class KeptDeal(BaseModel):
    """A deal of the import that stays."""

    deal_id: UUID
    external_id: str | None
    why: str


class RevertRead(BaseModel):
    """What was taken back, and what was not."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reverted": 2000, "remaining": 412, "kept_count": 0, "kept": []}]}
    )

    reverted: int = Field(description="Deals taken back by this request.")
    remaining: int = Field(description="Deals that the next request takes back.")
    kept_count: int = Field(description="Deals that the import created and somebody changed since: they stay.")
    kept: list[KeptDeal] = Field(description="The first hundred of them.")


# what the import wrote lies between its beginning and its end, so the log's index by that time finds it
_written: Any = (
    select(EventLogRow.aggregate_id.label("deal_id"), func.max(EventLogRow.aggregate_version).label("last_version"))
    .where(
        EventLogRow.organization_id == bindparam("organization_id"),
        EventLogRow.recorded_at.between(bindparam("started_at"), bindparam("completed_at")),
        EventLogRow.correlation_id == bindparam("import_id"),
        EventLogRow.aggregate_type == DealCreated.aggregate_type,
    )
    .group_by(EventLogRow.aggregate_id)
    .having(func.bool_or(EventLogRow.type == DealCreated.type))
    .subquery()
)
_WRITTEN = compiled(
    select(Deal.id, Deal.external_id, (Deal.version == _written.c.last_version).label("is_untouched"))
    .join(_written, _written.c.deal_id == Deal.id)
    .where(Deal.organization_id == bindparam("organization_id"), Deal.deleted_at.is_(None))
    .order_by(Deal.id)
)


async def revert(unit: UnitOfWork, import_id: UUID) -> RevertRead:
    """Take back some thousands of an import's deals.

    Raises:
        NotFound: there is no such import.
        ImportNotEnded: it is still at work.
    """
    found, *_ = await unit.fetch_all(records.JOB.bind(import_id=import_id), records.ONE_WRITER.bind())
    if not found:
        raise NotFound("import")
    job = found[0]
    if job.completed_at is None or job.started_at is None:
        raise ImportNotEnded
    written = await unit.fetch(_WRITTEN, import_id=import_id, started_at=job.started_at, completed_at=job.completed_at)
    untouched = [row for row in written if row.is_untouched]
    some = untouched[:_AT_ONCE]
    expected = {row.id for row in some}
    locked = await lock_known(unit, [row.external_id or str(row.id) for row in some])
    deals = [deal for deal in locked.values() if deal.id in expected]
    write(unit, known=[delete(deal, now=unit.now) for deal in deals])
    kept = [row for row in written if not row.is_untouched]
    if deals:
        event = ImportReverted(reverted_count=len(deals), kept_count=len(kept))
        unit.emit(event, aggregate_id=import_id, aggregate_version=job.version + 1)
        unit.update(ImportJob, {"id": import_id, "version": job.version + 1})
    return RevertRead(
        reverted=len(deals),
        remaining=len(untouched) - len(some),
        kept_count=len(kept),
        kept=[
            KeptDeal(deal_id=row.id, external_id=row.external_id, why="It was changed after the import.")
            for row in kept[:_SHOWN]
        ],
    )
