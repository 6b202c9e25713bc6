"""`/v1/companies`: the companies a caller sees."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.companies import repository, service
from api.companies.repository import CompanyFilter
from api.companies.schemas import CompanyCreate, CompanyRead, CompanyUpdate
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Session
from api.edge.fields import SearchText
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.visibility import visible_users
from api.models.company import Company
from api.picklists import service as picklists

router = slice_router(prefix="/companies", tags=["companies"])

_PLAIN = CompanyRead.model_fields.keys() - {"industry"}


async def _filter(
    owner_id: UUID | None = None,
    q: Annotated[SearchText | None, Query(description="Part of the name, in any case.")] = None,
) -> CompanyFilter:
    return CompanyFilter(owner_id=owner_id, text=q)


@router.post("", status_code=201, responses=problems(UnknownReference, service.CompanyExternalIdTaken))
async def create_company(
    body: CompanyCreate, caller: RecordWriter, session: Session, response: Response
) -> CompanyRead:
    """Create a company."""
    owner_id = body.owner_id if "owner_id" in body.model_fields_set else caller.user_id
    company = await service.create_company(session, caller.context, body=body, owner_id=owner_id)
    response.headers["Location"] = f"/v1/companies/{company.id}"
    [answer] = await _answers(session, caller.organization_id, [company])
    return answer


@router.get("")
async def list_companies(
    caller: CurrentCaller, session: Session, page: Page, only: Annotated[CompanyFilter, Depends(_filter)]
) -> PageOf[CompanyRead]:
    """List the companies you see, newest first."""
    owner_ids = await visible_users(session, caller)
    query = repository.select_companies(caller.organization_id, owner_ids, only=only)
    companies, cursor = await fetch_page(session, query, page=page, id_column=Company.id, newest_first=True)
    return PageOf(items=await _answers(session, caller.organization_id, companies), next_cursor=cursor)


@router.get("/{company_id}", responses=problems(NotFound))
async def read_company(company_id: UUID, caller: CurrentCaller, session: Session) -> CompanyRead:
    """Read a company."""
    owner_ids = await visible_users(session, caller)
    company = await repository.get_company(session, caller.organization_id, company_id=company_id, owner_ids=owner_ids)
    if company is None:
        raise NotFound("company")
    [answer] = await _answers(session, caller.organization_id, [company])
    return answer


@router.patch(
    "/{company_id}",
    responses=problems(
        NotFound, PreconditionFailed, PreconditionRequired, UnknownReference, service.CompanyExternalIdTaken
    ),
)
async def update_company(
    company_id: UUID, body: CompanyUpdate, caller: RecordWriter, session: Session, if_match: IfMatch
) -> CompanyRead:
    """Change a company."""
    company = await service.update_company(
        session,
        caller.context,
        company_id=company_id,
        owner_ids=await visible_users(session, caller),
        expected_version=if_match,
        changes=body.model_dump(exclude_unset=True),
    )
    [answer] = await _answers(session, caller.organization_id, [company])
    return answer


async def _answers(session: AsyncSession, organization_id: UUID, companies: Sequence[Company]) -> list[CompanyRead]:
    """The companies in order, their industry by label."""
    values = {company.industry_id for company in companies if company.industry_id is not None}
    labels = await picklists.labels(session, organization_id=organization_id, ids=values)
    return [
        CompanyRead(
            **{name: getattr(company, name) for name in _PLAIN},
            industry=None if company.industry_id is None else labels[company.industry_id],
        )
        for company in companies
    ]
