"""`/v1/deals|contacts|companies/{id}/timeline`."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.deals.records import DealTarget, read_deal
from api.edge.dependencies import CurrentCaller, ScopeMissing, Unit
from api.edge.pages import Page, PageOf, Pagination
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.errors import NotFound, Unprocessable
from api.kernel.records import Owners, RecordKind, read_record
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.timeline import records

router = slice_router(prefix="", tags=["timeline"])


class UnknownKind(Unprocessable):
    """There are no such items."""

    code = "unknown_kind"


class TimelineItem(BaseModel):
    """Something noted, done or to be done about a record, or a change of the record itself."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str = Field(examples=["note"])
    type: str = Field(examples=["activity.logged"])
    at: datetime = Field(description="When it took place; of a task, when it was done or else made.")
    actor_id: UUID | None = Field(description="The user who did it, if it was one.")
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    data: dict[str, Any] = Field(description="What it says; of a change, the facts of its event.")


_Kinds = Annotated[
    list[str] | None,
    Query(max_length=20, description="Only items of these kinds: `note`, `call`, `meeting`, `task`, `change`, …"),
]


@router.get("/deals/{deal_id}/timeline", responses=problems(NotFound, UnknownKind))
async def read_deal_timeline(
    deal_id: UUID, caller: CurrentCaller, unit: Unit, page: Page, kind: _Kinds = None
) -> PageOf[TimelineItem]:
    """Read what happened with a deal, newest first."""
    owners = await owners_seen(unit, caller)
    await read_deal(unit, DealTarget(deal_id=deal_id, owner_ids=owners))
    return await _timeline(unit, "deal", deal_id, caller, owners, kind, page)


@router.get("/contacts/{contact_id}/timeline", responses=problems(NotFound, UnknownKind))
async def read_contact_timeline(
    contact_id: UUID, caller: CurrentCaller, unit: Unit, page: Page, kind: _Kinds = None
) -> PageOf[TimelineItem]:
    """Read what happened with a contact and its deals, newest first."""
    return await _of_record(unit, CONTACTS, contact_id, caller, kind, page)


@router.get("/companies/{company_id}/timeline", responses=problems(NotFound, UnknownKind))
async def read_company_timeline(
    company_id: UUID, caller: CurrentCaller, unit: Unit, page: Page, kind: _Kinds = None
) -> PageOf[TimelineItem]:
    """Read what happened with a company, its contacts and deals, newest first."""
    return await _of_record(unit, COMPANIES, company_id, caller, kind, page)


async def _of_record(
    unit: UnitOfWork, kind: RecordKind, record_id: UUID, caller: Caller, only: list[str] | None, page: Pagination
) -> PageOf[TimelineItem]:
    owners = await owners_seen(unit, caller)
    await read_record(unit, kind, record_id, owners=owners)
    return await _timeline(unit, kind.noun, record_id, caller, owners, only, page)


async def _timeline(
    unit: UnitOfWork,
    noun: str,
    record_id: UUID,
    caller: Caller,
    owners: Owners,
    only: list[str] | None,
    page: Pagination,
) -> PageOf[TimelineItem]:
    known = records.kinds()
    if unknown := set(only or ()) - set(known):
        raise UnknownKind(f"There is no {min(unknown)!r}. There are: {', '.join(known)}.")
    if caller.scopes is not None:
        only = _permitted(known, caller.scopes, only)
    rows, cursor = await records.read_timeline(unit, noun, record_id, owners=owners, only=only, page=page)
    return PageOf(items=[TimelineItem.model_validate(row) for row in rows], next_cursor=cursor)


def _permitted(known: Mapping[str, str | None], scopes: Collection[str], only: list[str] | None) -> list[str]:
    """The kinds that a key reads here: what it may not read elsewhere it does not read by its records either."""
    lacking = {kind: scope for kind, scope in known.items() if scope is not None and scope not in scopes}
    if refused := sorted(lacking[kind] for kind in only or () if kind in lacking):
        raise ScopeMissing(f"The key lacks the scope {refused[0]}.")
    return only or [kind for kind in known if kind not in lacking]
