"""`/v1/duplicates`, `/v1/merges`, and merging contacts and companies."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query

from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.duplicates import finding, records
from api.duplicates.merging import BadMerge, LaterMerge, Mergeable, merge, unmerge
from api.duplicates.schemas import Duplicate, MergedRead, MergeRead, MergeRequest, UnmergeRead, Verdict
from api.edge.dependencies import CurrentCaller, RecordWriter, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.caller import Caller
from api.kernel.custom import BadCustomValue, CustomValueTaken
from api.kernel.errors import NotFound
from api.kernel.records import ExternalIdTaken
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from contracts.events.relations import CompanyMerged, CompanyUnmerged, ContactMerged, ContactUnmerged

router = slice_router(prefix="", tags=["duplicates"])

_CONTACTS = Mergeable(CONTACTS, ContactMerged, ContactUnmerged)
_COMPANIES = Mergeable(COMPANIES, CompanyMerged, CompanyUnmerged)
_NOUNS = {"contacts": "contact", "companies": "company"}
_FINDERS = {"same": finding.same, "similar": finding.similar, "distinct": finding.distinct}
_MERGING = problems(NotFound, BadMerge, records.BothHave, BadCustomValue, CustomValueTaken)
_UNMERGING = problems(NotFound, LaterMerge, ExternalIdTaken, CustomValueTaken, BadCustomValue)


@router.get("/duplicates")
async def list_duplicates(
    caller: CurrentCaller,
    unit: Unit,
    kind: Literal["contacts", "companies"],
    method: Annotated[
        Literal["same", "similar", "distinct"],
        Query(
            description="What is the same beyond doubt, what looks alike among the newest 5,000 records, or what"
            " somebody told apart."
        ),
    ] = "same",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PageOf[Duplicate]:
    """List pairs of records that may be one, the surest first. Merge those, and the list shows the next ones."""
    noun = _NOUNS[kind]
    pairs = await _FINDERS[method](unit, noun, owners=await owners_seen(unit, caller), limit=limit)
    return PageOf(items=[Duplicate.model_validate(pair) for pair in pairs], next_cursor=None)


@router.post("/duplicates/verdict", status_code=204, responses=problems(NotFound))
async def judge_duplicate(body: Verdict, caller: RecordWriter, unit: Unit) -> None:
    """Say that two records are not one: the pair is not listed any more."""
    owners = await owners_seen(unit, caller)
    await finding.tell_apart(unit, _NOUNS[body.kind], body.ids, owners=owners, are_distinct=body.are_distinct)


@router.get("/merges")
async def list_merges(
    caller: CurrentCaller, unit: Unit, page: Page, kind: Literal["contact", "company"] | None = None
) -> PageOf[MergedRead]:
    """List records that were merged into others that you see, the newest first; each can be undone."""
    owners = await owners_seen(unit, caller)
    rows, cursor = await read_page(unit, records.MERGES, {"kind": kind, "owners": owners}, page=page)
    return PageOf(items=[MergedRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/contacts/{contact_id}/merge", responses=_MERGING)
async def merge_contacts(contact_id: UUID, body: MergeRequest, caller: RecordWriter, unit: Unit) -> MergeRead:
    """Merge other contacts into this one; their deals, tasks, activities, conversations and addresses move to it."""
    return await _merge(unit, _CONTACTS, contact_id, body, caller)


@router.post("/contacts/{contact_id}/unmerge", responses=_UNMERGING)
async def unmerge_contact(contact_id: UUID, caller: RecordWriter, unit: Unit) -> UnmergeRead:
    """Bring a merged contact back, with what moved; what was changed since stays with the other one."""
    return await _unmerge(unit, _CONTACTS, contact_id, caller)


@router.post("/companies/{company_id}/merge", responses=_MERGING)
async def merge_companies(company_id: UUID, body: MergeRequest, caller: RecordWriter, unit: Unit) -> MergeRead:
    """Merge other companies into this one: their contacts, deals, tasks and activities move to it."""
    return await _merge(unit, _COMPANIES, company_id, body, caller)


@router.post("/companies/{company_id}/unmerge", responses=_UNMERGING)
async def unmerge_company(company_id: UUID, caller: RecordWriter, unit: Unit) -> UnmergeRead:
    """Bring a merged company back, with what moved; what was changed since stays with the other one."""
    return await _unmerge(unit, _COMPANIES, company_id, caller)


async def _merge(unit: UnitOfWork, what: Mergeable, record_id: UUID, body: MergeRequest, caller: Caller) -> MergeRead:
    owners = await owners_seen(unit, caller)
    state = await merge(unit, what, record_id, body.other_ids, body.fields, owners=owners)
    return MergeRead(id=record_id, version=state["version"], merged_ids=body.other_ids)


async def _unmerge(unit: UnitOfWork, what: Mergeable, merged_id: UUID, caller: Caller) -> UnmergeRead:
    restored = await unmerge(unit, what, merged_id, owners=await owners_seen(unit, caller))
    return UnmergeRead.model_validate(restored)
