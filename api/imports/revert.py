"""Taking an import back: what it created, as long as nobody touched it or builds on it. The log keeps all of it.

What refers to others goes before them: tasks and activities, deals, contacts, companies, products. Contacts and
companies go into the recycle bin, products are no longer active.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, Text, bindparam, cast, exists, func, literal, null, or_, select

from api.activities import records as activities
from api.activities import rules as activity_rules
from api.activities.rules import Activity
from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.db.statements import Statement, compiled, is_one_of
from api.deals.records import lock_known, write
from api.deals.rules import delete
from api.imports import records
from api.kernel.binning import put_in_bin
from api.kernel.errors import Conflict, NotFound
from api.kernel.records import RecordKind
from api.kernel.states import as_states, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.activity import Activity as ActivityRow
from api.models.audit import AuditEntry
from api.models.base import Aggregate
from api.models.company import Company
from api.models.contact import Contact
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.import_job import ImportJob
from api.models.product import DealLine
from api.models.product import Product as ProductRow
from api.models.task import Task as TaskRow
from api.products import records as products
from api.products import rules as product_rules
from api.products.rules import Product
from api.tasks import records as tasks
from api.tasks import rules as task_rules
from api.tasks.rules import Task
from contracts.events.activities import ActivityLogged
from contracts.events.deals import DealCreated
from contracts.events.envelope import Event
from contracts.events.imports import ImportReverted
from contracts.events.relations import CompanyCreated, ContactCreated
from contracts.events.tasks import TaskCreated

#: Records of one transaction; those that go into the bin one by one are fewer.
_AT_ONCE, _BINNED_AT_ONCE = 2_000, 500
_SHOWN = 100


class ImportNotEnded(Conflict):
    """An import that is still at work cannot be taken back."""

    code, detail = "import_not_ended", "The import has not ended yet. Wait for its end."


class KeptRecord(BaseModel):
    """A record of the import that stays."""

    kind: str = Field(description="deal, contact, company, product, task or activity.")
    id: UUID
    deal_id: UUID | None = Field(description="The id once more, of a deal.")
    external_id: str | None
    why: str


class RevertRead(BaseModel):
    """What was taken back, and what was not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reverted": 2000, "reverted_by_kind": {"deal": 2000}, "remaining": 412, "kept_count": 0, "kept": []}
            ]
        }
    )

    reverted: int = Field(description="Records taken back by this request.")
    reverted_by_kind: dict[str, int]
    remaining: int = Field(description="Records that the next requests take back, as far as that is known yet.")
    kept_count: int = Field(
        description="Records that the import created and somebody changed or uses since: they stay."
    )
    kept: list[KeptRecord] = Field(description="The first hundred of them.")


@dataclass(frozen=True)
class _Kind:
    """What an import creates: the statement that finds it, and how it is taken back."""

    noun: str
    written: Statement
    take_back: Callable[[UnitOfWork, Sequence[Row]], Awaitable[None]]
    at_once: int = _AT_ONCE


_organization: Any = bindparam("organization_id")


def _query(model: type[Aggregate], version: Any, used: ColumnElement[bool] | None) -> Select[Any]:  # noqa: ANN401 # a column
    external_id = getattr(model, "external_id", None)
    is_used = literal(value=False) if used is None else used
    return select(
        model.id,
        (cast(null(), Text) if external_id is None else external_id).label("external_id"),
        (model.version == version).label("is_untouched"),
        is_used.label("is_used"),
    ).where(model.organization_id == _organization)


def _written(model: type[Aggregate], created: type[Event], used: ColumnElement[bool] | None = None) -> Statement:
    # what the import wrote lies between its beginning and its end, so the log's index by that time finds it
    told: Any = (
        select(EventLogRow.aggregate_id.label("id"), func.max(EventLogRow.aggregate_version).label("last_version"))
        .where(
            EventLogRow.organization_id == _organization,
            EventLogRow.recorded_at.between(bindparam("started_at"), bindparam("completed_at")),
            EventLogRow.correlation_id == bindparam("import_id"),
            EventLogRow.aggregate_type == created.aggregate_type,
        )
        .group_by(EventLogRow.aggregate_id)
        .having(func.bool_or(EventLogRow.type == created.type))
        .subquery()
    )
    query = _query(model, told.c.last_version, used).join(told, told.c.id == model.id)
    deleted_at = getattr(model, "deleted_at", None)
    return compiled((query if deleted_at is None else query.where(deleted_at.is_(None))).order_by(model.id))


def _refers(model: Any, column: Any, to: type[Aggregate]) -> ColumnElement[bool]:  # noqa: ANN401 # columns
    return exists().where(model.organization_id == to.organization_id, column == to.id, model.deleted_at.is_(None))


# products have no events: the audit log says which import made one
_made = exists().where(
    AuditEntry.organization_id == _organization,
    AuditEntry.at.between(bindparam("started_at"), bindparam("completed_at")),
    AuditEntry.correlation_id == bindparam("import_id"),
    AuditEntry.action == "product.created",
    AuditEntry.resource_id == ProductRow.id,
)
_sold = exists().where(
    DealLine.organization_id == ProductRow.organization_id,
    DealLine.product_id == ProductRow.id,
    Deal.organization_id == DealLine.organization_id,
    Deal.id == DealLine.deal_id,
    Deal.deleted_at.is_(None),
)
_PRODUCTS = compiled(_query(ProductRow, 1, _sold).where(_made, ProductRow.is_active).order_by(ProductRow.id))
_LOCKED_TASKS = compiled(rows_of(Task, TaskRow).where(is_one_of(TaskRow.id, "ids")).with_for_update())
_LOCKED_ACTIVITIES = compiled(rows_of(Activity, ActivityRow).where(is_one_of(ActivityRow.id, "ids")).with_for_update())
_LOCKED_PRODUCTS = compiled(rows_of(Product, ProductRow).where(is_one_of(ProductRow.id, "ids")).with_for_update())


async def _delete_tasks(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    found = as_states(Task, await unit.fetch(_LOCKED_TASKS, ids=[row.id for row in rows]))
    tasks.write(unit, [task_rules.delete(one, now=unit.now) for one in found])


async def _delete_activities(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    found = as_states(Activity, await unit.fetch(_LOCKED_ACTIVITIES, ids=[row.id for row in rows]))
    activities.write(unit, [activity_rules.delete(one, now=unit.now) for one in found])


async def _delete_deals(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    expected = {row.id for row in rows}
    locked = await lock_known(unit, [row.external_id or str(row.id) for row in rows])
    write(unit, known=[delete(deal, now=unit.now) for deal in locked.values() if deal.id in expected])


async def _retire_products(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    found = as_states(Product, await unit.fetch(_LOCKED_PRODUCTS, ids=[row.id for row in rows]))
    retired = [product_rules.update(one, {"is_active": False}, now=unit.now) for one in found]
    products.write_many(unit, [change for change in retired if change is not None])


def _into_bin(kind: RecordKind) -> Callable[[UnitOfWork, Sequence[Row]], Awaitable[None]]:
    async def put(unit: UnitOfWork, rows: Sequence[Row]) -> None:
        for row in rows:
            await put_in_bin(unit, kind, row.id, owners=None)

    return put


_contact_used = _refers(Deal, Deal.contact_id, Contact)
_company_used = or_(_refers(Deal, Deal.company_id, Company), _refers(Contact, Contact.company_id, Company))
_KINDS = (
    _Kind("task", _written(TaskRow, TaskCreated), _delete_tasks),
    _Kind("activity", _written(ActivityRow, ActivityLogged), _delete_activities),
    _Kind("deal", _written(Deal, DealCreated), _delete_deals),
    _Kind("contact", _written(Contact, ContactCreated, _contact_used), _into_bin(CONTACTS), _BINNED_AT_ONCE),
    _Kind("company", _written(Company, CompanyCreated, _company_used), _into_bin(COMPANIES), _BINNED_AT_ONCE),
    _Kind("product", _PRODUCTS, _retire_products),
)


async def revert(unit: UnitOfWork, import_id: UUID) -> RevertRead:
    """Take back some of what an import created.

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
    done: dict[str, int] = {}
    kept: list[KeptRecord] = []
    remaining = 0
    for kind in _KINDS:
        rows = await unit.fetch(
            kind.written, import_id=import_id, started_at=job.started_at, completed_at=job.completed_at
        )
        if remaining:
            # whether it is used shows once what comes before it is gone
            remaining += sum(row.is_untouched for row in rows)
            continue
        free = [row for row in rows if row.is_untouched and not row.is_used]
        some = free[: kind.at_once]
        remaining = len(free) - len(some)
        staying = [_kept(kind.noun, row) for row in rows if not row.is_untouched or row.is_used]
        kept += staying
        if some:
            await kind.take_back(unit, some)
            done[kind.noun] = len(some)
        if some and kind.noun == "deal":
            _tell(unit, job, ImportReverted(reverted_count=len(some), kept_count=len(staying)))
    return RevertRead(
        reverted=sum(done.values()),
        reverted_by_kind=done,
        remaining=remaining,
        kept_count=len(kept),
        kept=kept[:_SHOWN],
    )


def _tell(unit: UnitOfWork, job: Row, event: ImportReverted) -> None:
    unit.emit(event, aggregate_id=job.id, aggregate_version=job.version + 1)
    unit.update(ImportJob, {"id": job.id, "version": job.version + 1})


def _kept(noun: str, row: Row) -> KeptRecord:
    why = "It is used by other records." if row.is_untouched else "It was changed after the import."
    return KeptRecord(
        kind=noun, id=row.id, deal_id=row.id if noun == "deal" else None, external_id=row.external_id, why=why
    )
